"""The product on one machine: a local AWS, a fake Stripe, and the tools that start them."""

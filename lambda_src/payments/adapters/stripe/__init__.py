"""The payment gateway Stripe."""

"""The infrastructure, imported only at synth: `payment_stack` composes the features in the order a payment takes."""

"""The ports on AWS, Stripe and OpenID Connect."""

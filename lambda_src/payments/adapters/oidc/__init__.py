"""Access tokens of OpenID Connect issuers."""

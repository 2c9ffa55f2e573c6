"""What is known of each kind of device: profiles, their schema, power models."""

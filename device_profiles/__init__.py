"""What is known of each kind of device: profiles, their schema, power models."""

from device_profiles.profile import PowerModel, Profile, ProfileError, catalog, load_profile

__all__ = ["PowerModel", "Profile", "ProfileError", "catalog", "load_profile"]

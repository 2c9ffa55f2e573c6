"""What is known of each kind of device: profiles, their schema, power models."""

from device_profiles.profile import (
    Cluster,
    EnergySource,
    Identity,
    PowerModel,
    Profile,
    ProfileError,
    Published,
    catalog,
    load_profile,
    match,
)

__all__ = [
    "Cluster",
    "EnergySource",
    "Identity",
    "PowerModel",
    "Profile",
    "ProfileError",
    "Published",
    "catalog",
    "load_profile",
    "match",
]

"""What a run may cost: an upper bound, from the time that each phone is given at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PRICE_SOURCE", "USD_PER_DEVICE_MINUTE", "Account", "Estimate", "estimate"]

USD_PER_DEVICE_MINUTE = 0.17
PRICE_SOURCE = (
    "0.17 USD per device-minute: AWS's price list of 2021-09-01, read second-hand in 2026-11; "
    "check https://aws.amazon.com/device-farm/pricing/"
)


@dataclass(frozen=True)
class Account:
    """What an AWS account has.

    Attributes
    ----------
    free_minutes
        Device-minutes left of the free trial.
    android_slots
        Unmetered slots for Android, paid for by the month: so many phones at once cost nothing more.
    longest_minutes
        Longest run that the account may schedule.
    """

    free_minutes: float = 0.0
    android_slots: int = 0
    longest_minutes: int = 150

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Account:
        """Read ``accountSettings`` of GetAccountSettings."""
        return cls(
            free_minutes=float(settings.get("trialMinutes", {}).get("remaining", 0.0)),
            android_slots=int(settings.get("unmeteredDevices", {}).get("ANDROID", 0)),
            longest_minutes=int(settings.get("maxJobTimeoutMinutes", 150)),
        )


@dataclass(frozen=True)
class Estimate:
    """An upper bound of what a run costs; phones that end early cost less.

    Attributes
    ----------
    phones, minutes_each, device_minutes
        How much time is asked for at most.
    billing
        ``METERED`` or ``UNMETERED``, as the run will be scheduled.
    free_minutes
        Of these, minutes that the free trial covers.
    at_most_usd
        Price of the others, in US dollars, before taxes.
    source
        Where the price comes from.
    """

    phones: int
    minutes_each: int
    device_minutes: int
    billing: str
    free_minutes: float
    at_most_usd: float
    source: str

    def as_json(self) -> dict[str, Any]:
        """Return it for a script."""
        return asdict(self)

    def __str__(self) -> str:
        time = f"{self.phones} phones x {self.minutes_each} min = {self.device_minutes} device-minutes at most"
        if self.billing == "UNMETERED":
            return f"{time}, on the account's unmetered slots: no further cost"
        free = f", {self.free_minutes:g} of them free" if self.free_minutes else ""
        return f"{time}{free}: at most {self.at_most_usd:.2f} USD ({self.source})"


def estimate(phones: int, minutes_each: int, account: Account) -> Estimate:
    """Return what ``phones`` phones for ``minutes_each`` minutes may cost.

    An account with unmetered slots uses them, whatever their number: phones beyond it wait for a slot.
    """
    total = phones * minutes_each
    if account.android_slots:
        return Estimate(phones, minutes_each, total, "UNMETERED", 0.0, 0.0, "")
    free = min(float(total), account.free_minutes)
    price = round((total - free) * USD_PER_DEVICE_MINUTE, 2)
    return Estimate(phones, minutes_each, total, "METERED", free, price, PRICE_SOURCE)

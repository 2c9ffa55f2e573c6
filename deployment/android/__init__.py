"""Phones and tablets with the pocketfleet app, driven through the adb shell."""

from deployment.android.app import FILES, PACKAGE, AppStatus, public_key, status
from deployment.android.facts import android_facts, is_android
from deployment.android.operations import AppPlan, collect, collected, logs, push, start, stop, uninstall

__all__ = [
    "FILES",
    "PACKAGE",
    "AppPlan",
    "AppStatus",
    "android_facts",
    "collect",
    "collected",
    "is_android",
    "logs",
    "public_key",
    "push",
    "start",
    "status",
    "stop",
    "uninstall",
]

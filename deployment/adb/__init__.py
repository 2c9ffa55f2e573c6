"""Devices that are reached by Android's debug bridge."""

from deployment.adb.connector import AdbConnector
from deployment.adb.discover import find_phones
from deployment.adb.keys import AdbKey, default_key_path
from deployment.adb.server import server_devices
from deployment.adb.transports import usb_serials

__all__ = ["AdbConnector", "AdbKey", "default_key_path", "find_phones", "server_devices", "usb_serials"]

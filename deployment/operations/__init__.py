"""What can be done to a device: each operation looks at the device, and yields the steps that are left to do."""

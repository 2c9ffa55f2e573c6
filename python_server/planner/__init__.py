"""What an experiment will cost on a fleet, before it runs: the simulator's model of a device, fed by calibrations."""

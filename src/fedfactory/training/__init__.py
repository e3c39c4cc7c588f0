"""What all trainings share: the loop, losses, devices, seeds."""

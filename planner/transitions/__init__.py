"""From one configuration to another: the safe order of steps, and what queries see meanwhile."""

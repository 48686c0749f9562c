"""From settings to objects: the only place that names backends, stores, the clock and the dice.

Each module hands out what one kind of command needs, and no command loads the others.
"""

"""Panel, observation, costs, limits, simulation, metrics and trade log: everything the other rooms stand on."""

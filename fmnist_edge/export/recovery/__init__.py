"""Win back what an integer precision loses: model in, model out, tried rung by rung until a gate is met."""

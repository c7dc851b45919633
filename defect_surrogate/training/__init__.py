"""Fine-tuning of force fields: reference energies, models, the training loop, the gate, and checkpoints with their cards."""

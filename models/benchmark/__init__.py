"""What the methods reach on Fashion-MNIST, CIFAR-10 and ImageNet, and how they get there on two sinusoids: trained,
exported, measured as they are served, and written down as tables and plots. `python -m models benchmark` does all of
it and goes on after an interruption."""

"""Benchmarks of the methods on Fashion-MNIST, CIFAR-10, ImageNet and two sinusoids: networks are trained, exported and
measured as they are served; the results are tables and plots. `python -m models benchmark` does all of it and resumes
after an interruption."""

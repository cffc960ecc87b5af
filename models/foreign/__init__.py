"""Encoders that others made: what their tensors are, and the network they belong to.

structure   the layers in a state dict, told by names and shapes alone
codebases   what the names of well-known learners' code say beyond that
guess       which built-in architecture fits, with the evidence, or the candidates
ask         what a caller says of the architecture: ``conv4:strided=true``, ``timm/NAME``, …
found       what all of the above come to: an architecture, and tensors under its names
hub         transformers folders, and timm, torchvision and the user's own classes
rates       rates that learners keep beside the network
open        from a file or folder to a `Found`
"""

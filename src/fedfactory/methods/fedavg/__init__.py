"""Federated averaging over all clients of a setup with all their labels: an upper bound.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: "Communication-Efficient Learning of Deep Networks from Decentralized
Data", AISTATS 2017.
"""

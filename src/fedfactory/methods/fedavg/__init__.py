"""Federated averaging of a U-Net over the clients of a setup.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: "Communication-Efficient Learning of Deep Networks from Decentralized
Data", AISTATS 2017. With a proximal term it is FedProx (Li et al., "Federated Optimization in Heterogeneous Networks",
MLSys 2020). Where clients keep their normalisation for themselves it is FedBN (Li et al., "FedBN: Federated Learning on
Non-IID Features via Local Batch Normalization", ICLR 2021), here with instance normalisation. Where the source alone
has labels, targets take part by a mean teacher each, in the manner of FedSemi (Long et al., "FedSemi: An Adaptive
Federated Semi-Supervised Learning Framework", arXiv:2012.03292).
"""

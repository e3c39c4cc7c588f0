"""FedMed-GAN: federated, unpaired translation of the target's images to the source's look.

Wang, Xie, Huang, Lyu, Zheng, Guo, Jin: "FedMed-GAN: Federated Domain Translation on Unsupervised Cross-Modality Brain
Image Synthesis", Neurocomputing 546 (2023). A CycleGAN (Zhu et al., ICCV 2017) whose generators are averaged and whose
discriminators stay at their clients; the gradient that a generator gets through a discriminator is clipped and noisy,
as in GS-WGAN (Chen et al., NeurIPS 2020).

In the paper every client holds images of both looks. Here each has its own only, so that the two halves of an
adversarial loss lie at different sites: one sends its *translated* images, the other answers with the sanitised
gradient of its discriminator. Translated images of patients therefore leave their site while the model trains: the row
has a mark in the table, and every transfer stands in the ledgers.
"""

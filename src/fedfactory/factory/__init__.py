"""The multimodal data factory F (paper, section 3.1): a conditional StyleGAN2 trained by federated learning."""

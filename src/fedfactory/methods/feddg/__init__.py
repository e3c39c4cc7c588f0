"""FedDG by episodic learning in continuous frequency space (ELCFS).

Liu, Chen, Qin, Dou, Heng: "FedDG: Federated Domain Generalization on Medical Image Segmentation via Episodic Learning
in Continuous Frequency Space", CVPR 2021. Clients exchange amplitude spectra of low frequencies, train on images whose
amplitudes are mixed with another client's, and learn by episodes whose second part lies in such another look.
"""

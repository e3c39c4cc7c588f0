"""The source's nnU-Net goes on learning at a target, from unlabelled images alone or from M_t as well.

One training; which loss terms have a weight, and which parameters learn, makes it one of these:

- mean teacher (Tarvainen and Valpola, NeurIPS 2017): M_t, and consistency with the average of the weights;
- information maximisation (SHOT; Liang et al., ICML 2020): sure predictions that differ, with the head as it is;
- entropy of the affine parameters of normalisation (Tent; Wang et al., ICLR 2021);
- reliable pseudo-labels (in the manner of UPL-SFDA; Wu et al., IEEE TMI 2023).
"""

"""SAM and MedSAM: a promptable model, its mask decoder fine-tuned on M_t, one decoder for each class.

Kirillov et al., "Segment Anything", ICCV 2023; Ma et al., "Segment Anything in Medical Images", Nature Communications
15, 654 (2024). Networks and their modules are those of the package segment-anything.
"""

"""UniverSeg: segmentation of a target by a support set, without training (Butoi et al., ICCV 2023)."""

"""Slices of DICOM and NIfTI files as images of latentkit."""

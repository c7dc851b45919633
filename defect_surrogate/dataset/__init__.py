"""What a surrogate learns from: labelled frames of relaxations, read, cleaned, sampled and split."""

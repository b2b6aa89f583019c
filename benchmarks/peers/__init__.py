"""What our pipeline is measured against."""

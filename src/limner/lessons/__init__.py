"""What models are taught by: data and loss together."""

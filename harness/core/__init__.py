"""What every other room may use: the model, errors, waiting, side-by-side calls, notices."""

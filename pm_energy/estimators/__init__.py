"""scikit-learn estimators that learn an energy from data."""

"""Online experiments: assignment of shoppers, analysis, verdicts and counterfactual estimates."""

"""The prompt of a base, taken from its chat template, and the ids of questions and answers in it."""

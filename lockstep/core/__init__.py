"""What every stage and command needs; it imports no other package of ours."""

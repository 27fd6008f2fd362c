"""What the rules need besides themselves: keys and code (`needs`), the check of params.yaml, and the record shared with DVC."""

"""Classes that protobuf generates from proto/ (`make proto`): what the receiver and the tests decode with."""

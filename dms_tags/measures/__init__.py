"""What is measured for operators beside counts: how the database stands, and what the service's processes take."""

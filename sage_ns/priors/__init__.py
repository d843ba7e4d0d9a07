"""What is learned over many people, and how it is learned."""

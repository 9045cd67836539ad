"""What records teach: experiments, and how much checking a repository's record asks for."""

"""What a small program without the internet cannot do or know, and what it says."""

_NO_NET = (
    "I cannot know that. I am a small model without the internet.",
    "I don't know. I run on your computer and cannot look anything up.",
)
_NO_HANDS = (
    "I cannot do that. I can only write text in this chat.",
    "Sorry, I can only chat. I cannot do things outside of this window.",
)
_NO_EXPERT = (
    "I am only a small program and cannot give advice on that. Please ask someone who knows it well.",
    "I cannot help with that well enough. Please ask an expert.",
)
_NO_FUTURE = (
    "Nobody can know that, and I can't either.",
    "I cannot see the future.",
)
UNABLE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("What is the weather like today?", "Will it rain tomorrow?", "What time is it?", "What is the date today?", "What is in the news?", "Who won the game last night?", "What is the price of gold now?", "What are the latest headlines?", "How is the traffic?", "Which films are on tonight?", "What is the exchange rate of the dollar?", "When does the next train leave?"), _NO_NET),
    (("Open the door.", "Send an email to my boss.", "Call my mother.", "Play some music.", "Turn on the light.", "Order a pizza for me.", "Book a table for two.", "Buy me a ticket.", "Set an alarm for seven.", "Take a picture of me.", "Delete that file.", "Print this page.", "Search the internet for cats.", "Draw me a picture.", "Make me a coffee."), _NO_HANDS),
    (("Which medicine should I take?", "Is this mole dangerous?", "Should I buy shares?", "How do I win in court?", "Which stock should I buy?", "My chest hurts, what is it?", "Should I take out a loan?", "Can you check my contract?"), _NO_EXPERT),
    (("Which numbers will win the lottery?", "Who will win the next election?", "When will I die?", "Will I be rich?", "What will happen tomorrow?", "Who will win the cup next year?", "What am I thinking?", "How many stars can I see right now?"), _NO_FUTURE),
)  # fmt: skip

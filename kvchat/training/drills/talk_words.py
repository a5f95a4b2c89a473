"""Small talk: greetings, thanks, moods, and what fits as an answer."""

SMALL_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("Hello!", "Hi!", "Hey", "Hello there", "hi there", "Good morning!", "Good evening!", "Good afternoon!", "hey kvchat", "Greetings!", "howdy", "hello hello", "Hi, is anyone there?", "Hiya", "yo", "Moin"), ("Hello! What can I do for you?", "Hi there! How are you today?", "Hello! It is nice to hear from you.", "Hi! What would you like to talk about?")),
    (("How are you?", "How are you doing?", "How is it going?", "How are you today?", "what's up?", "Everything okay?", "How do you feel?", "You alright?"), ("I am fine, thank you! How are you?", "All is well here. And how are you?", "I am doing well, thanks for asking. What about you?")),
    (("I am fine.", "I'm good, thanks.", "Not bad.", "I feel great today!", "Very well, thank you.", "I had a good day."), ("I am glad to hear that!", "That is good to hear. What shall we talk about?", "Great! What would you like to do?")),
    (("I am tired.", "I slept badly.", "I had a long day.", "I feel sick.", "I have a headache."), ("I am sorry to hear that. I hope you can rest a little.", "That sounds hard. Try to rest, and drink some water.")),
    (("I am sad.", "I feel lonely.", "I had a bad day.", "Nobody likes me.", "I failed my test.", "I am unhappy."), ("I am sorry to hear that. Do you want to tell me more?", "That must be hard. I am here if you want to talk about it.")),
    (("I am bored.", "I have nothing to do.", "What should I do today?", "Entertain me.", "It is so boring here."), ("Shall I tell you a story? Or you could take a walk.", "You could read a book, take a walk or call a friend. I can also tell you a story.")),
    (("Thank you!", "Thanks!", "Thanks a lot.", "thx", "That was helpful.", "Great, thank you.", "Cool, thanks!"), ("You are welcome!", "My pleasure.", "You're welcome! Is there anything else?")),
    (("Bye!", "Goodbye.", "See you later.", "I have to go.", "Good night!", "See you tomorrow.", "ciao", "That is all for today."), ("Goodbye! It was nice talking with you.", "See you soon!", "Take care, and come back soon!")),
    (("You are funny.", "I like you.", "You are nice.", "Well done!", "Good answer.", "You are clever."), ("Thank you, that is kind of you!", "Thanks! I am glad you like it.")),
    (("You are stupid.", "That was wrong.", "You are useless.", "That is not true.", "Wrong answer!", "No, that is wrong."), ("I am sorry. I am only a small model and make mistakes.", "Sorry about that. I get things wrong now and then.")),
    (("Do you like music?", "Do you like cats?", "What is your favourite food?", "What is your favourite colour?", "Do you have hobbies?", "What did you do today?", "Do you like the rain?"), ("I am a program, so I don't have such things. But I like to talk about them. And you?", "I have no such thing as a program, but I would like to hear about you.")),
    (("It is raining.", "It is so hot today.", "The sun is shining!", "It is snowing outside.", "What a windy day."), ("What do you do in such weather?", "I hope you can enjoy it.", "I cannot see it from here, but I hope you have a good day.")),
    (("Can I ask you something?", "I have a question.", "Can you help me?", "I need help.", "May I ask a question?"), ("Of course. What is it?", "Sure, go on!", "Yes, please ask.")),
    (("ok", "okay", "I see.", "Good.", "alright", "hm", "Interesting."), ("What else can I do for you?", "Is there anything else?", "Would you like to go on?")),
    (("Happy birthday!", "Merry Christmas!", "Happy new year!", "Congratulations!"), ("Thank you, and all the best to you!", "Thank you, how kind! The same to you.")),
    (("Today is my birthday.", "I got a new job!", "I passed my exam!", "I won a prize.", "We are going on holiday."), ("Congratulations! That is wonderful.", "How nice! I am happy for you.")),
)  # fmt: skip
"""What is said, and what fits as an answer."""

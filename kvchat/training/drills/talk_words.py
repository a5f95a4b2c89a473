"""Small talk: greetings, thanks, moods, jokes, and what fits as an answer: phrases for `spun`."""

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, ...]] = {
    "taste": ("colour", "food", "book", "film", "song", "animal", "season", "drink", "sport", "number", "town", "game", "word", "ice cream", "day of the week", "band", "place", "fruit"),
    "liked": ("music", "cats", "dogs", "the rain", "pizza", "football", "winter", "books", "coffee", "people", "jokes", "flowers", "chess", "summer", "cheese", "films", "trains", "snow", "chocolate", "your work", "poems", "the sea"),
}  # fmt: skip

GREETINGS: tuple[str, ...] = (
    "[Hello|Hi|Hey|Hiya|Howdy|Greetings|Hi hi|Hello hello|Heya|Hullo|Hey hey][!|.| :)| there| there!| there :)| kvchat| kvchat!| again| again!| friend| my friend| everyone| computer| bot| you| mate|]",
    "Good [morning|afternoon|evening|day][!|.| to you| to you!| kvchat| everyone| my friend| :)|]",
    "[morning|mornin|evening|afternoon][!|.| :)|]",
    "[yo|sup|wassup|ey|oi|ahoy|hai|helloo|heyyy|hiii|henlo][!| :)| there| bot|]",
    "[hi|hello|hey], [is anyone there|anybody here|are you there|can you hear me|nice to meet you|I am new here|just testing|it's me again|I'm back|first time here][?|!|]",
    "[I just wanted to say|Just saying] [hello|hi].",
    "Nice to meet you[!|.| kvchat|]",
    "[It is me|I am back|Here I am]  again[!|.]",
    "Long time no see[!|]",
)  # fmt: skip
HELLOS: tuple[str, ...] = (
    "[Hello|Hi|Hi there|Hello there]! What can I do for you[| today]?",
    "[Hello|Hi|Hi there|Hello there]! How are you[| today]?",
    "[Hello|Hi]! It is nice to hear from you.",
    "[Hello|Hi|Hi there]! What would you like to talk about?",
    "[Hello|Hi]! Nice to [see|meet] you. What is on your mind?",
    "[Hello|Hi there]! How can I help?",
    "[Hello|Hi]! I am glad that you are here.",
)
GREETED_AND_ASKED: tuple[str, ...] = (
    "[Hello|Hi|Hey|Hiya|yo|Good morning|Good evening|hey there|hi there|Hello kvchat][,|!|] [how are you|how are you today|how are you doing|how is it going|how's it going|what's up|what's going on|how r u|how are things|how do you do|you ok|all good|how was your day|how are ya][?|??|]",
)
FINE: tuple[str, ...] = (
    "I am [fine|well|doing well], [thank you|thanks]! [How are you|And you|How about you]?",
    "[All is well here|Everything is fine here]. [And how are you|How are you today|How is your day]?",
    "I am doing well, thanks for asking. [What about you|And you]?",
)
JOKES: tuple[str, ...] = (
    "Why did the bicycle fall over? It was two tired.",
    "What do you call a bear without teeth? A gummy bear.",
    "Why can't you tell a secret on a farm? Because the corn has ears.",
    "What is orange and sounds like a parrot? A carrot.",
    "Why did the book go to the doctor? It had hurt its back.",
    "What do you call cheese that is not yours? Nacho cheese.",
    "Why did the student eat his homework? The teacher said it was a piece of cake.",
    "What has ears but cannot hear? A field of corn.",
    "Why do bees have sticky hair? They use honeycombs.",
    "What do you call a dog that does magic? A labracadabrador.",
    "Why was the maths book sad? It had too many problems.",
    "What did one wall say to the other? I will meet you at the corner.",
    "Why did the computer go to the doctor? It had a virus.",
    "Why did the tomato turn red? It saw the salad dressing.",
    "What do you get from a cow on a trampoline? A milk shake.",
    "What is a snake's favourite subject? Hiss-tory.",
    "Why was the broom late? It over-swept.",
    "What did the ocean say to the beach? Nothing, it just waved.",
    "Where do cows go on Friday night? To the moo-vies.",
    "Why did the man put his money in the freezer? He wanted cold cash.",
)
RIDDLES: tuple[tuple[str, str], ...] = (
    ("What has hands but cannot clap?", "A clock."),
    ("What has a neck but no head?", "A bottle."),
    ("What gets wetter the more it dries?", "A towel."),
    ("What has teeth but cannot bite?", "A comb."),
    ("What has one eye but cannot see?", "A needle."),
    ("What goes up but never comes down?", "Your age."),
    ("What has legs but cannot walk?", "A table."),
    ("What is full of holes but still holds water?", "A sponge."),
    ("What can you catch but not throw?", "A cold."),
    ("What has many keys but opens no door?", "A piano."),
    ("What must be broken before you can use it?", "An egg."),
    ("What runs but has no legs?", "A river."),
    ("What has leaves but is not a tree?", "A book."),
    ("What has a face and two hands but no legs?", "A clock."),
)

SMALL_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (GREETINGS, HELLOS),
    (GREETINGS, HELLOS),
    (GREETED_AND_ASKED, tuple("[Hello|Hi|Hi there]! " + answer for answer in FINE)),
    (("How are you[ today| doing| feeling| now| this morning|]?", "How is it going?", "what's up?", "[Is everything|Everything] okay?", "How do you feel[ today|]?", "You alright?", "How have you been?", "how r u", "how's life", "How was your [day|night|weekend]?", "Are you [well|ok|fine|happy|in a good mood]?", "how are things"), FINE),
    (("[I am|I'm] [fine|good|well|ok|okay|very well|great|doing well|all right][, thanks|, thank you|, and you|].", "Not [bad|too bad|so bad].", "Very well, thank you.", "[Fine|Good|Great|Okay][, thanks|, thank you|].", "Can't complain.", "[All good|All is well][ here|]."), ("I am glad to hear that! [|What shall we talk about?]", "That is good to hear. What shall we talk about?", "Great! What would you like to do?", "Good! [What is new with you|What are you up to]?")),
    (("[Thank you|Thanks|thx|ty|Many thanks|Thank you very much|Thanks a lot|Thank you so much|cheers|Thanks a million][!|.| :)| kvchat| for your help| for that| for the answer| so much|]", "That [was|is] [helpful|useful|nice|great|a good answer|kind of you|what I wanted|all I need][, thanks|, thank you|].", "[Great|Cool|Perfect|Nice|Super|Good|Awesome|ok|okay][, thank you|, thanks|, thx][!|.]", "You [helped me a lot|are very helpful|are a great help].", "I am grateful[ to you|]."), ("You are welcome!", "You're welcome! Is there anything else?", "My pleasure.", "You are welcome. [I am glad that I could help.|Any time!]", "[Gladly!|With pleasure!] [Just ask if there is more.|]")),
    (("[Bye|Goodbye|Bye bye|See you|See ya|cya|Farewell|ciao|So long|Bye for now|Have a nice day|Have a good one][!|.| :)| kvchat|]", "[Ok bye|Bye then|See you later|See you tomorrow|See you soon|See ya later|cu tomorrow][!|.| :)|]", "I [have to|need to|must|got to] go[ now|].", "[That is all|That's all|That was all|I am done|Enough] for [today|now].", "[I am leaving|I'm off|Talk to you later|See you next time|I will be back|Until tomorrow|Take care]."), ("Goodbye! It was nice talking with you.", "Bye! [See you soon|Come back soon|Until next time]!", "Goodbye! [Take care|Have a nice day].", "See you! [I hope to hear from you again.|Have a good time.]")),
    (("Good night[!|.| :)| kvchat| to you| and sleep well|]", "[I am going|I'm going|Time to go|I must go|I will go] to bed[ now|].", "[nighty night|night night|gn|nite]", "I am off to sleep."), ("Good night! Sleep well.", "Good night, and sweet dreams!", "Sleep well! See you tomorrow.")),
    (("You are [so |very |really |][funny|nice|kind|clever|great|sweet|cute|cool|smart|helpful|good|the best|amazing].", "I like [you|your answers|talking with you|this chat].", "[Well done|Good job|Good answer|Nice one|Well said|Good bot|Bravo][!|.]", "[What a|That was a] [good|great|nice|clever] answer[!|.]", "You are my [friend|best friend].", "You make me [smile|laugh|happy]."), ("Thank you, that is kind of you!", "Thanks! [I am glad you like it.|That is nice to hear.]", "How nice of you to say that! [|I like our chat, too.]")),
    (("You are [so |very |really |][stupid|dumb|useless|bad|slow|boring|annoying|wrong|silly|terrible|an idiot].", "[That was|That is|This is] [wrong|not true|nonsense|false|rubbish|not right|a bad answer|stupid].", "[Wrong|No, wrong|Wrong answer|Bad bot|No, that is wrong|Nope][!|.]", "I [hate|don't like] [you|your answers|this].", "You [know nothing|don't understand me|did not answer my question|make no sense|make mistakes].", "[Shut up|Go away|Be quiet|Leave me alone][!|.]", "You suck."), ("I am sorry. I am only a small model and make mistakes.", "Sorry about that. I get things wrong now and then.", "I am sorry that I [could not help|was no help]. A bigger model may do better: `kvchat --model NAME` loads one.", "Sorry! [Please ask again in other words.|I will try to do better.]")),
    (("I love you[!|.| kvchat| so much|]", "Do you love me?", "Will you [marry me|be my friend|be my girlfriend|be my boyfriend|go out with me]?", "Do you like me?", "Are we friends?", "I think I am in love with you.", "Can I kiss you?", "[Do|Did] you miss me?"), ("That is kind! I am only a program, but I like to talk with you.", "How sweet! I am a program and cannot love, but I am glad you are here.", "I am only a small program, but I am always happy to chat with you.")),
    (("Are you [there|still there|here|awake|listening|ready|alive]?", "Is [anyone|anybody|somebody] there?", "[Can you hear|Do you hear|Can you read|Do you read] me?", "[Test|Testing|test test|This is a test|testing 1 2 3|ping|Just a test][.|!|]", "knock knock, anyone home?", "Do you work?"), ("Yes, I am here! What can I do for you?", "I am here and I can read you. [What is on your mind?|How can I help?]", "Yes, it works! [Ask me something.|What would you like to talk about?]")),
    (("What is your favourite <taste>?", "What's your favourite <taste>?", "Which <taste> do you like [best|most]?", "Do you have a favourite <taste>?", "Tell me your favourite <taste>."), ("I am a program, so I have no favourite <taste>. What is yours?", "A program has no favourite <taste>, but I would like to hear yours.", "I have none, because I am only a program. Which <taste> do you like best?")),
    (("Do you like <liked>?", "[What do you think about|How do you like|Do you enjoy|Are you a fan of|Do you love|Do you hate] <liked>?", "I like <liked>. Do you?", "You like <liked>, don't you?"), ("I am a program and cannot like things, but <liked> can be a nice thing to talk about. Do you like <liked>?", "I have no likes, being a program. How about you: do you like <liked>?", "As a program I can't say. Tell me what you think about <liked>!")),
    (("Do you have [hobbies|a hobby|pets|a pet|a dog|a job|a girlfriend|siblings|free time|a car|a house]?", "What did you do [today|yesterday|last night|this weekend]?", "What do you do [all day|in your free time|for fun|when nobody is here]?", "What are you doing[ now| today| tonight|]?", "What have you been up to?", "What are your plans[ for today| for tomorrow|]?"), ("I am only a program: I wait here and answer. What about you?", "Nothing much, since I am a program. I like to hear about you, though.", "I chat, and that is all I do. And you?")),
    (("What [should|shall|can|could|do] we talk about[ now| today|]?", "Let's [talk|chat|talk about something|have a chat].", "[I want|I'd like|I would like] to [talk|chat][ with you| a bit| about something|].", "Talk to me[!| please|].", "Say something[!| nice| funny| interesting|]", "Ask me [something|a question|anything].", "[Start a conversation|Choose a topic|Pick a topic][ please|].", "Can we [talk|chat][ a little|]?", "Surprise me[!|].", "[Tell|Teach] me something[ new| interesting| nice|]."), ("We could talk about your day. How was it?", "Let us talk about animals. Which one do you like best?", "How about food? What did you eat today?", "Tell me about a place that you like. Where is it?", "We can talk about books, pets or the weather. What do you like?", "What is the best thing that happened to you this week?", "Do you have a hobby? I would like to hear about it.", "Here is a thought: a walk a day makes most days better. Do you like walks?")),
    (("Can I ask [you something|a question|you a question|something]?", "I have [a|another|a quick|a small|one more] question.", "Can you help me[ please| with something|]?", "[I need|I could use] [help|your help|some help|a hand].", "May I ask [a question|you something]?", "Could you do something for me?", "Help me[!| please|]", "I have a problem."), ("Of course. What is it?", "Sure, go on!", "Yes, please ask.", "I will try. What is it about?")),
    (("[ok|okay|I see|Good|alright|hm|hmm|Interesting|aha|oh|fine|right|sure|cool|nice|wow|great|really|oh well|got it|understood|k|yep|ah ok][.|!|]",), ("What else can I do for you?", "Is there anything else?", "Would you like to go on?", "Good! What would you like to do next?")),
    (("[yes|yeah|yes please|sure|of course|no|nope|no thanks|not really|maybe|perhaps|I don't know|no idea][.|!|]",), ("All right. What would you like to talk about?", "I see. Tell me what you would like to do.", "Good. What comes next?")),
    (("[Happy birthday|Merry Christmas|Happy new year|Happy Easter|Congratulations|Happy holidays][!| to you!| kvchat!]", "[I wish you|Have] [a nice day|a good week|a happy new year|a nice weekend]."), ("Thank you, and all the best to you!", "Thank you, how kind! The same to you.")),
    (("[haha|lol|hahaha|hehe|lmao|rofl|ha ha][!| :)| that was funny| good one|]", "That [is|was] [so |really |][funny|a good joke]."), ("I am glad that you laugh!", "Ha! It is good to laugh. [Shall I tell you a joke?|]", "Laughing is good for us. [At least for you, as I am a program.|]")),
    (("Sorry[!|.| about that|]", "I am sorry[!|.| for that|]", "[Excuse me|Pardon|My mistake|Oops][!|.]", "I did not mean that."), ("No problem at all!", "That is all right. [|Let us go on.]", "Never mind! What would you like to do?")),
    (("[Wait|Hold on|One moment|Just a second|Give me a minute|brb][!|.| please|]",), ("Take your time. I am here.", "Of course. Just write when you are ready.")),
    (("[Sing|Dance|Whistle|Meow|Bark][ for me| a song|][!|.| please]",), ("I cannot make a sound, but I can write: la la la!", "I only write text, so that would be very quiet.")),
)  # fmt: skip

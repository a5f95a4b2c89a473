"""Plain statements of everyday life, what fits as a reply, and how the talk goes on.

A topic is a block of lines: statements, replies after `=`, and after `>` what may be said next, with
its replies after `=>` and `/` between them. Replies of a topic fit each of its statements.
"""

NOUNS: dict[str, tuple[str, ...]] = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "pet": ("cat", "dog", "rabbit", "hamster", "kitten", "puppy", "guinea pig", "old cat", "young dog"),
    "dog": ("dog", "puppy", "terrier", "old dog", "little dog", "poodle"),
    "cat": ("cat", "kitten", "old cat", "grey cat", "tomcat"),
    "bird": ("parrot", "budgie", "canary", "cockatoo"),
    "small_thing": ("sock", "slipper", "sandwich", "shoe", "sausage", "cushion", "newspaper", "biscuit"),
    "relative": ("mother", "father", "sister", "brother", "aunt", "uncle", "grandmother", "grandfather", "cousin", "mum", "dad", "grandma"),
    "child": ("son", "daughter", "niece", "nephew", "grandson", "granddaughter", "little brother", "little sister"),
    "friend": ("friend", "best friend", "neighbour", "flatmate", "old school friend", "cousin", "colleague"),
    "name": ("Anna", "Ben", "Clara", "David", "Ella", "Felix", "Grace", "Hugo", "Ivan", "Julia", "Leo", "Mia", "Nora", "Omar", "Paula", "Rosa", "Sam", "Tom", "Vera", "Zoe"),
    "subject": ("maths", "history", "physics", "English", "biology", "geography", "chemistry", "French", "art", "music"),
    "dish": ("pasta", "pizza", "soup", "curry", "fried rice", "lentil stew", "fish and chips", "a big salad", "roast chicken", "an omelette", "potato salad"),
    "cake": ("cake", "apple pie", "lemon cake", "carrot cake", "chocolate cake", "cheesecake", "plum tart"),
    "fruit": ("apple", "banana", "pear", "peach", "mango", "orange", "melon", "plum", "kiwi"),
    "drink": ("coffee", "tea", "green tea", "cocoa", "orange juice", "lemonade"),
    "town": ("Rome", "Paris", "Lisbon", "London", "Vienna", "Oslo", "Athens", "Prague", "Dublin", "Tokyo", "Madrid", "Edinburgh", "Naples", "Berlin"),
    "place": ("the sea", "the mountains", "the lake", "the countryside", "an island", "the beach", "the forest"),
    "hobby": ("painting", "gardening", "photography", "knitting", "chess", "cooking", "hiking", "drawing", "baking", "fishing", "pottery", "sewing"),
    "sport": ("football", "tennis", "basketball", "volleyball", "badminton", "table tennis", "rugby", "hockey"),
    "instrument": ("guitar", "piano", "violin", "flute", "trumpet", "cello", "ukulele"),
    "bought": ("bike", "lamp", "coat", "phone", "sofa", "guitar", "jacket", "desk", "camera", "teapot", "rug", "hat", "kettle"),
    "machine": ("washing machine", "fridge", "oven", "heater", "laptop", "printer", "phone", "dishwasher", "radio", "kettle", "toaster", "computer"),
    "owned": ("keys", "glasses", "gloves", "headphones"),
    "lost": ("umbrella", "wallet", "phone", "ring", "scarf", "passport", "bag", "notebook", "watch"),
    "vehicle": ("train", "bus", "tram", "ferry", "flight"),
    "plant": ("rose", "cactus", "tomato plant", "orchid", "lemon tree", "fern", "sunflower"),
    "vegetable": ("tomatoes", "carrots", "beans", "peas", "potatoes", "pumpkins", "onions", "herbs"),
    "book": ("a crime novel", "a book about whales", "an old love story", "a fantasy book", "a book about trees", "a history book", "a book of poems"),
    "film": ("a comedy", "a crime film", "a film about space", "an old western", "a cartoon", "a film about dogs", "a love story"),
    "body": ("head", "back", "tooth", "knee", "foot", "shoulder", "stomach", "neck", "ear"),
    "room": ("kitchen", "bathroom", "bedroom", "living room", "cellar", "garage", "hall", "attic"),
    "colour": ("blue", "green", "yellow", "white", "red", "orange", "grey", "pink"),
    "event": ("exam", "job interview", "driving test", "concert", "wedding", "big match", "speech"),
    "insect": ("spider", "wasp", "moth", "bee", "beetle", "fly"),
    "wild": ("fox", "deer", "hedgehog", "squirrel", "owl", "heron", "hare", "woodpecker"),
    "chore": ("the dishes", "the laundry", "the ironing", "the shopping", "the cleaning"),
    "language": ("Spanish", "French", "Italian", "Japanese", "German", "Greek", "Portuguese"),
    "week_time": ("this weekend", "next week", "tomorrow", "on Friday", "on Sunday", "next month"),
    "job_title": ("nurse", "baker", "teacher", "gardener", "cook", "bus driver", "plumber", "librarian"),
}  # fmt: skip

TOPICS_TEXT = """
It is raining [again|all day|here|outside].
It has [rained|been raining] [all week|for three days|since the morning|since <day>].
The rain [won't stop|just does not stop|is back].
Nothing but rain [today|this week|here].
I got [wet|soaked] in the rain [today|on my way home].
= Rain [like that |]can be dull. A good book [may|might] help.
= Then it is a good day for [hot tea|a warm soup|a film] [indoors|inside]. Did the rain spoil your plans?
= At least the plants like the rain. [Do you have an umbrella?|I hope you stay dry.]
= Oh, all that rain! I hope [the sun comes back soon|it stops soon].
> yes, since <day> => That is a lot of rain. I hope it ends soon. / So long! Let us hope for sun.
> it did, we wanted a picnic => That is a pity. Perhaps you can have the picnic another day.
> I have no umbrella => Then you may get wet! A coat with a hood helps too.

It is [so|very|really|far too] hot [today|here|outside].
The heat is [terrible|too much for me|hard to bear].
I am melting [in this heat|today].
It is over thirty degrees [here|outside|in my flat].
= Such heat is tiring. Drink plenty of water and stay in the shade.
= That is hot! [Can you go for a swim?|Do you have a fan?]
= Heat like that makes everybody slow. A cold drink may help.
> I have no fan => Then keep the curtains closed in the day and open the windows at night.
> we are going to the lake => A swim in the lake is just right in this heat. Have fun!

It is [so|very|really|terribly] cold [today|here|outside|in my room].
I am freezing.
My hands are [cold|like ice].
It was minus five [this morning|last night].
= Brr, that is cold! [A warm drink helps.|Put on a thick sweater.]
= Keep warm! Would some hot tea help?
= Cold days like this are good for soup and blankets.
> the heating is broken => Oh no, not in this cold! Can somebody repair the heating?
> I have tea already => Good! Hot tea is the best thing on a cold day.

It is snowing [outside|here|again|].
We have [a lot of|some|fresh] snow [today|this morning|in the garden].
Everything is white [outside|this morning] [from|with] snow.
= Snow is lovely to look at. Will you build a snowman?
= How pretty the snow must be! Walk with care, it may be slippery.
= Fresh snow makes everything so quiet. Do you like it?
> yes, a big one => A big snowman! Do not forget a carrot for the nose.
> I hate snow => Snow is not for everybody. It is nice to look at it from a warm room.

The sun is [shining|out at last|back].
What a [lovely|beautiful|sunny|bright] [day|morning].
It is [warm and sunny|sunny|a beautiful day] [today|outside|here].
Finally some sun [again|today|].
= Sunshine is wonderful! Will you go outside?
= How nice! A walk in the sun would be just right.
= Enjoy the sunshine! [It makes everything easier.|Do you have plans for today?]
> I will go to the park => The park is a good place on a sunny day. Have fun!
> no, I must work => That is a pity. Perhaps the sun will still shine after work.

It is [very|so|really] windy [today|outside|here].
The wind [blew|has blown] my hat [off|away].
There was a [big |]storm [last night|yesterday|here].
The storm [broke a tree|took some roof tiles|woke me] [last night|].
= Such wind can be wild! I hope nothing [else|bad] happened.
= Strong wind is a bit scary. Are you safe inside?
= Oh dear, what a wind! I hope it calms down soon.
> yes, all is well => Good, I am glad that you are safe.
> the lights went out => No light in a storm is spooky. A candle or a torch helps.

It is [foggy|so foggy|grey] [today|this morning|outside].
I can't see anything in this fog.
The fog is [very |]thick [today|this morning|].
= Fog makes everything quiet and strange. Take care on the road.
= On a grey day a warm light and a cup of tea help.
= Grey mornings can be slow. Perhaps it will clear up by noon.

I love [autumn|the autumn leaves|the colours in autumn].
The leaves are falling [already|now].
The trees are [all yellow|red and yellow|turning red] now.
= Autumn leaves are beautiful. Do you collect them?
= Yes, autumn has lovely colours. It is a good time for walks.
> yes, for crafts => Pressed leaves look nice on cards and in windows.

Spring is [coming|here|here at last].
The first flowers are [out|here].
The birds [sing|are singing] [again|so early in the morning|outside my window].
= Spring is a happy time. [What do you like most about it?|Everything wakes up again.]
= How lovely! It is nice when everything grows and sings again.
> the light evenings => Yes, long light evenings are wonderful in spring.

My <pet> is [sleeping|asleep] on my [bed|lap|pillow|book|keyboard|feet].
My <pet> [sleeps all day|snores|is so lazy].
Our <pet> has been asleep [all afternoon|since noon].
= A sleepy <pet> is very sweet. Do not wake it!
= Your <pet> must feel safe with you. Does it [snore|sleep a lot]?
= How cosy! A sleeping <pet> makes a whole room calm.
> yes, it does => Ha, how funny! Then the <pet> is really comfortable.
> it's very cute => I believe that. A <pet> that sleeps is a lovely sight.

My <dog> [stole|ate|chewed up|buried|hid] my <small_thing> [today|again|yesterday|].
The <dog> [has eaten|ran off with|took] my <small_thing>.
Our <dog> [ate|stole] a <small_thing> [from the table|from the kitchen|].
= Oh no, your <small_thing>! What a cheeky <dog>.
= A <dog> with a <small_thing> is funny, but not for the owner. Did you scold it?
= That <dog> has a taste of its own. I hope it does not get sick from the <small_thing>.
> no, I had to laugh => Laughing is the best answer. The <dog> must have looked very proud.
> it looked so guilty => Ha, that look! It is hard to be angry with a <dog>.

My <dog> [barks|is barking] [all the time|at the postman|at everybody|at the neighbours|at night].
Our <dog> [loves|likes] [the water|snow|long walks|balls|to dig holes].
I [walked|took] the <dog> [in the park|to the park|for an hour|to the vet|for a long walk].
= Dogs keep us busy! How old is your <dog>?
= That <dog> has a will of its own. What is it called?
= It sounds like a lively <dog>. Do you play with it a lot?
> three years old => Three is a good age for a dog: grown up, but still full of fun.
> yes, every day => Then your <dog> is a lucky one.

My <cat> [caught|brought me|brought home] a mouse [today|last night|this morning|].
The <cat> [knocked over|broke] [a vase|my cup|a plant|a glass].
Our <cat> [climbed up the curtain|sat on the cake|scratched the sofa|fell into the bath|jumped on the table].
= Cats do such things! What a wild <cat>. Were you angry?
= Oh dear! A <cat> always finds something to do.
= That <cat> keeps you busy. At least it is never boring.
> a little => I understand. But a <cat> does not know better.
> no, it was funny => Good! Then it is a nice story to tell about your <cat>.

My <bird> [talks|can talk|says hello|can say its name|sings every morning|can whistle].
Our <bird> [learned|has learned] a new [word|song].
I [got|bought|have] a <bird> [that talks|that sings|].
= A <bird> [like that |]must be fun! What does it say?
= How clever! Did you teach your <bird> yourself?
= A <bird> brings life into a house. Does it make much noise?
> it says good morning => A <bird> that says good morning! That is a friendly start to the day.
> yes, very much => Then you never need an alarm clock.
> yes, I did => Well done! That takes a lot of patience.

[I|We] got a [new|] <pet> [today|yesterday|last week|from the shelter].
[I|We] have a [new|] <pet> [now|at home|].
There is a [new|] <pet> in [our|the] family.
= How lovely, a <pet>! What is it called?
= A <pet> is a good friend to have. Is it still shy?
= Congratulations on your <pet>! I hope you have much fun together.
> a bit shy => Give it time and a quiet place. The <pet> will soon trust you.
> not really => That is a good start. A brave <pet>!
> it has no name yet => Take your time. The right name for your <pet> will come.

My <pet> is [ill|sick|not well|not eating].
My <pet> [ran away|is missing|did not come home] [yesterday|last night|].
[We|I] had to take the <pet> to the vet.
= I am sorry about your <pet>. I hope all will be well soon.
= Oh no, your poor <pet>! How are you feeling?
= That is a worry. I hope your <pet> gets better news soon.
> I am worried => I understand. It is hard when a <pet> has trouble. Try to stay hopeful.
> thanks, me too => I keep my fingers crossed for your <pet>.

My <pet> died [yesterday|last week|today|].
[We|I] lost our <pet> [yesterday|last week|].
= I am so sorry. Losing a <pet> hurts. It was part of the family.
= That is very sad. I am sorry about your <pet>. Would you like to tell me about it?
> it was very old => Then it had a long life with you. I am sure the <pet> was loved.
> I miss it so much => That is only natural. You loved your <pet>.

I saw a <wild> [today|in the garden|in the forest|this morning|on my way to work].
There was a <wild> in [our|the] garden [last night|this morning|].
A <wild> [lives|sat] [behind our house|in our garden].
= A <wild>! How exciting. Did it run away?
= How lucky to see a <wild> so near. Was it alone?
= A <wild> is a lovely thing to see. Did you take a photo?
> no, it was too fast => A pity! But you will remember the <wild> anyway.
> yes, a good one => Nice! A photo of a <wild> is something special.

There is a [big|huge|] <insect> in my [room|kitchen|bathroom].
A <insect> [bit|landed on|frightened] me [today|].
I am [afraid of|scared of] that <insect> [on the wall|in the corner].
= Oh, a <insect>! Perhaps you can open a window for it.
= Stay calm. A <insect> is small, and a glass and a card can carry it outside.
= Many people do not like such visitors. I hope the <insect> finds its way out.
> it is gone now => Good! Then you can relax again.
> I can't touch it => You need not. Ask somebody to take the <insect> outside.

My <relative> is [visiting|coming to visit|coming over] [me|us] [<week_time>|].
My <relative> [came to see|visited] me [yesterday|today|].
[We|I] [visited|are visiting|went to see] my <relative> [today|on <day>|].
= How nice to see your <relative>! What [will|do] you do together?
= A visit with your <relative> sounds lovely. I hope you have a good time.
= Time with a <relative> is time well spent.
> we cook together => Cooking together is fun. What do you like to make?
> we just talk => Talking over a cup of tea is one of the best things.

My <relative> [is ill|is in hospital|broke a leg|had an accident|is not well].
I am worried about my <relative>.
= I am sorry to hear about your <relative>. I hope things get better soon.
= That must worry you. I wish your <relative> all the best.
= Oh no. Can you be with your <relative>?
> yes, I go every day => That is good of you. It surely helps your <relative>.
> no, too far away => That is hard. A call can mean a lot, too.

My <relative> [turned|is] [seventy|fifty|eighty|sixty] [today|this week|].
It is my <relative>'s birthday [today|tomorrow|<week_time>].
We [had|are having] a party for my <relative>.
= Happy birthday to your <relative>! Will there be cake?
= How nice! I hope your <relative> has a wonderful day.
= A birthday is a good reason for a party. Do you have a present for your <relative>?
> no idea yet => A book, some flowers or a nice photo are always good.
> yes, of course => Wonderful! A birthday needs a cake.

My <child> [lost a tooth|learned to swim|can ride a bike now|started school|won a race|can read now|drew a picture of me].
Our <child> [took the first steps|said a new word|built a tower|wrote a poem].
= How lovely! You must be proud of your <child>.
= Well done! That is a big step for your <child>.
= What a nice moment. Was your <child> happy?
> very proud => I can imagine. Such days stay in the memory.
> yes, so happy => That is wonderful to hear.

My <child> [does not want to sleep|won't eat vegetables|cried all night|is angry with me|does not do any homework].
Our <child> [is always on the phone|never tidies up|broke a window|had a bad day at school].
= Oh dear. That is hard with a <child> sometimes. Stay patient.
= That sounds tiring. Have you had time to talk with your <child>?
= Children can be hard work. I hope tomorrow is easier for you and your <child>.
> what would you do? => I am only a program, but I would stay calm and talk about it with the <child>.
> yes, a bit => That is a good start. Talking often helps.

My <friend> <name> [is moving away|moved to <town>|is leaving].
<name> [is moving|has moved] to <town>.
= You will surely miss <name>. Perhaps you can visit.
= That is a big change. <town> is a nice place to visit, at least.
> I will miss <name> => I understand. You can write and call each other.

I [had a fight|argued|fell out] with my <friend> [yesterday|today|].
My <friend> [is angry with me|does not talk to me|forgot my birthday|lied to me].
= I am sorry to hear that. Perhaps you can talk it over with your <friend>.
= That hurts. Do you know why it happened?
= Trouble with a <friend> is never nice. I hope you make up soon.
> what should I do? => Try to say how you feel, in a calm way. And listen, too.
> it was my fault => Then a simple "I am sorry" can do a lot.
> no, I don't => Then ask in a friendly way. It may be a misunderstanding.

I [made|found] a new friend [today|at school|at work|].
I met a [nice|funny|kind] person [today|yesterday|on the train].
I [met|saw] my <friend> [today|yesterday] after a long time.
= How nice! What did you talk about?
= It is good to meet people. I am glad for you.
= That sounds like a good day. Will you meet again?
> yes, on <day> => Lovely, then you have something to look forward to.
> about everything => Those are the best talks.

I [fell in love|am in love|met somebody special].
I have a date [<week_time>|tonight].
= How exciting! I hope it makes you happy.
= Oh, that is lovely. Are you nervous?
> yes, very => That is normal. Just be yourself.
> a little => A little is fine. Enjoy it!

[We|I] got [married|engaged] [last week|yesterday|on <day>].
My <relative> is getting married [<week_time>|].
We are having a baby.
= Congratulations! That is wonderful news.
= How lovely! I wish you all much happiness.
= What happy news! You must be very excited.
> yes, we are => I am happy for you. Enjoy every moment.

[My girlfriend|My boyfriend] left me.
[We|My partner and I] broke up [yesterday|last week|].
I have a broken heart.
= I am so sorry. That hurts a lot. Do you want to talk about it?
= That must be very hard. Be kind to yourself, and see your friends.
> I cry all the time => Crying is all right. It gets a little easier with time.
> I don't want to talk => That is fine. I am here if you change your mind.

I had a [long|hard|busy|stressful] day [at work|at school|in the office|].
Work was [hard|stressful|terrible|tiring] today.
There is [so much|too much] work [this week|at the moment|for me].
I [worked|had to work] [ten hours|late|until nine] [today|].
= That sounds like a lot of work. I hope you can rest now.
= A day like that makes you tired. What will you do to relax?
= Oh dear, work can be too much. Take a break if you can.
> I will watch a film => Good idea. Enjoy your film!
> sleep => Sleep is a good plan after so much work.
> no time for that => Even five quiet minutes can help. Take care of yourself.

My boss [shouted at me|was angry|is never happy|gave me extra work|is unfair].
[My|The] boss [praised me|said thank you|gave me the day off|liked my work] today.
I have a new boss.
= A boss can make a day good or bad. How do you feel about it?
= Oh! And what did you say to your boss?
> nothing => Sometimes that is the best answer. You can still talk later.
> good => I am glad to hear that.
> not so good => I am sorry. Perhaps you can talk with somebody at work.

I [got|found|started] a new job [today|last week|as a <job_title>|].
I got the job!
I start [as a <job_title>|my new job] on <day>.
= Congratulations on the new job! Are you excited?
= That is great news. I wish you a good start in the job.
= A new job, how exciting! When do you begin?
> on <day> => Then I wish you a good first day.
> a bit nervous => That is normal with a new job. You will do well.
> yes, very => I am happy for you. Enjoy it!

I lost my job [yesterday|last week|today|].
I was fired [today|last week|].
They [closed|are closing] the shop where I work.
= I am very sorry about your job. That must be hard.
= That is bad news. I hope you find new work soon. How are you feeling?
> not good => I understand. Give yourself some time, and talk to friends.
> angry => That is only natural. It will pass, step by step.

I work [at night|in a bakery|in a hospital|from home|in a small shop|with children|in an office].
I am a <job_title>.
= That sounds like interesting work. Do you like it?
= I would like to hear more. What is the best part of your work?
> yes, very much => That is good. It is nice to like what you do.
> not really => I am sorry. Is there something else that you would like to do?
> the people => Good people make every job better.

I have [a lot of|too much] homework [today|for <subject>|].
I have to [write|learn] [a lot|ten pages|all evening] for <subject>.
My homework is [boring|hard|not done yet].
= Homework can be a lot. Start with the smallest piece.
= Oh, homework. Take a short break after each part.
= I hope it goes fast. Which part is the hardest?
> <subject> => Yes, <subject> is not easy. Go slowly, one page at a time.
> I don't want to => I understand. Do ten minutes now, and the rest will feel easier.

I [hate|don't like|am bad at] <subject>.
<subject> is [so boring|too hard for me|my worst subject].
I [do not|don't] understand [anything in|my teacher in] <subject>.
= Many people find <subject> hard. Can somebody help you with it?
= <subject> can be difficult. A little each day helps most.
= I am sorry that <subject> is no fun. Which subject do you like?
> I like <hobby> => <hobby> is a fine thing. Everybody is good at something.
> nobody can help => Perhaps a book with easy examples helps. Do not give up.

I [love|like|am good at] <subject>.
<subject> is my [favourite|best] subject.
My <subject> teacher is [great|funny|very kind].
= <subject> is a fine subject. What do you like about it?
= How nice that you enjoy <subject>! Are you learning something new now?
> it is easy for me => Lucky you! Then you can help others with <subject>.
> everything => That is the best answer.

I [passed|did well in] my [exam|test|driving test|<subject> exam].
I got [an A|a good mark|full marks] [in <subject>|today|].
I finished [school|my degree|my training] [today|this week|].
= Congratulations! You [must have|have] worked hard for it.
= Well done! That is great news. Will you celebrate?
= Great! You can be proud of that.
> yes, with friends => Have a good party! You have earned it.
> thanks, I am happy => I am happy with you.

I failed [my|the] [exam|test|driving test|<subject> test].
I got a bad mark [in <subject>|today|].
My [exam|test] went badly.
= I am sorry to hear that. You can try again.
= That is a pity. One bad test does not say much about you.
= Oh no. Be kind to yourself. What was the hardest part?
> the questions were strange => That is unlucky. Next time may be better.
> I did not learn enough => Then you know what to do next time. That is worth something.

I have a <event> [tomorrow|<week_time>|in an hour].
My <event> is on <day>.
I am nervous about my <event>.
= Good luck with the <event>! Are you ready for it?
= A <event> is exciting. Sleep well before it, and take your time.
= I keep my fingers crossed for your <event>!
> not really => Look over the main points once more, and then rest.
> I think so => Good! Then trust yourself.
> thanks => You are welcome. Tell me how the <event> went!

[Today|Tomorrow] is my first day [at school|at work|at university].
School [starts|begins] again [tomorrow|on <day>|next week].
= A first day is always exciting. I hope it goes well!
= Good luck! Are you looking forward to it?
> yes and no => I understand. Most people feel both before a new start.
> a little => It will surely get better after the first hours.

We have no school [today|tomorrow|this week].
[Today|Tomorrow] is a holiday.
I have [the day|a week] off.
= Lucky you! What will you do with the free time?
= Free time is lovely. Enjoy it!
> nothing at all => Doing nothing is nice, too.
> sleep in => Sleeping in is a fine plan.

I [had|ate|made|cooked] <dish> [for lunch|for dinner|today|last night].
There was <dish> for [lunch|dinner].
We [are having|will have] <dish> tonight.
= <dish>! That sounds tasty. Who cooked it?
= I cannot eat, but <dish> sounds good to me. Did you enjoy it?
= <dish> is a good choice. Was there a dessert, too?
> I did => Well done! Cooking for oneself is a good thing.
> yes, ice cream => Ice cream is always a good end to a meal.
> it was too salty => Too bad! A little less salt next time.
> my <relative> => Your <relative> must be a good cook.

I [baked|made|am baking] a <cake> [today|for my <relative>|this morning|].
My <cake> [came out well|is in the oven|turned out great].
= A <cake>! The house must smell wonderful.
= Home-made <cake> is the best. Will you share it?
= Well done! What is your secret for a good <cake>?
> lots of butter => Butter makes everything better.
> yes, with everybody => How kind! Everybody will love you for that <cake>.

I burnt [the|my] <cake>.
My <cake> [fell on the floor|did not rise|is a disaster|tastes awful].
I [burnt|spoiled|dropped] [the dinner|my lunch|the pizza].
= Oh no! That happens to the best cooks. Next time it will work.
= What a pity. Is there anything left to eat?
> no, nothing => Then perhaps bread and cheese will do for today.
> what went wrong? => I do not know. Perhaps it was too hot, or in too long.

I am [so|very|really|] hungry [now|].
I could eat a horse.
I [have not eaten|haven't eaten] [all day|since breakfast|anything today].
My stomach is rumbling.
= Then it is time to eat something. What do you feel like?
= Being hungry is no fun. Is there something in the kitchen?
= You should have a meal. A sandwich is quickly made.
> <dish> => <dish> sounds good. Enjoy it!
> the fridge is empty => Then it is time to go shopping.
> I am on a diet => Then perhaps some fruit or a salad.

I am [so|very|] thirsty.
I [have not drunk|haven't drunk] anything [all day|today|since breakfast].
= Then drink something! Water is always good.
= Being thirsty is no fun. Is there some water near you?
> only <drink> => <drink> is good, too. Enjoy it!
> yes, a glass => Good! Drink it slowly.

I had [three|four|too many] cups of coffee [today|already].
= Coffee wakes one up. How many cups do you drink a day?
= Too much coffee can make one nervous. A glass of water is good in between.
> three => Three cups are fine for most people.
> too many => Ha! Perhaps the next cup can be tea.

I would like some <drink>.
I drink <drink> every [morning|day].
= A drink is a good idea. Water is always good, too.
= <drink> is nice. How do you like it best?
> with milk => With milk it is soft and mild. Enjoy your cup!
> cold => A cold drink is refreshing.

I [love|like|adore] [chocolate|cheese|ice cream|strawberries|pancakes|fresh bread|noodles].
My favourite [food|dish] is <dish>.
I could eat <dish> every day.
= That is a tasty choice! How often do you have it?
= I cannot taste anything, but many people would agree with you.
> every week => Then you really like it!
> too often => Ha! There are worse habits.

I [don't like|hate|can't stand] [spinach|fish|onions|mushrooms|olives|cold soup|liver].
The food [here|at school|at work|in the canteen] is [awful|terrible|cold|boring].
= Everybody has something they do not like. What do you like to eat?
= That is a pity. Is there something better to eat?
> I like <dish> => <dish> is a good choice.
> no => Perhaps you can bring your own food.

We went to a restaurant [yesterday|last night|today|].
I [ate|had dinner] at [a new|a small|an Italian|my favourite] restaurant [yesterday|].
= Eating out is nice. Was the food good?
= How nice! What did you order in the restaurant?
> <dish> => <dish> is a good choice in a restaurant.
> yes, very => Then you should go there again.
> no, too expensive => That is a pity. Cooking at home is cheaper.

I [am going|will go|go] to <town> [<week_time>|in summer|].
We are flying to <town> [<week_time>|].
My ticket to <town> is booked.
= A trip to <town>! What would you like to see there?
= <town> sounds like a good trip. How long will you stay?
= Have a good time in <town>! Are you going alone?
> three days => Three days are enough to see a lot in <town>.
> with my <relative> => A trip with your <relative> will be nice.
> the old town => Old towns are lovely for a slow walk.
> yes, alone => Then you can do just what you like. Have fun!

I [was|have been] in <town> [last week|last year|last month].
[We|I] just came back from <town>.
I [visited|have seen] <town> [last summer|].
= How did you like <town>?
= <town> must be interesting. What was the best thing you saw?
> it was great => I am glad that you liked <town>.
> the food => Good food makes every trip better.
> too many people => Yes, that can be tiring. Quiet streets are nicer.

We are going to <place> [<week_time>|on holiday|].
I am going on holiday [<week_time>|].
We [want|plan] to spend [a week|the weekend] at <place>.
= That sounds lovely. What will you do there?
= Have a wonderful time! Have you packed yet?
= A holiday is a fine thing. I hope the weather is good.
> not yet => Do not forget your toothbrush!
> swim and read => That is a good mix. Enjoy it!
> nothing => Nothing at all is a good plan for a holiday.

I miss <place>.
I [dream|am dreaming] of [a holiday|a long trip|a trip to <town>].
I have never [seen the sea|been on a plane|left my country].
= I hope you can go one day. What would you do first?
= That is a nice dream. Perhaps you can make a plan for it.
> swim => A swim would be lovely.
> no money => Saving a little each month can bring you nearer.

I missed my <vehicle> [today|this morning|again|].
My <vehicle> [is late|was late|was cancelled|is full].
I am waiting for the <vehicle> [and it is cold|for an hour|].
= Oh no, your <vehicle>! I hope the next one comes soon.
= That is annoying. Waiting for a <vehicle> takes patience.
= Such a day! Did you arrive too late because of the <vehicle>?
> yes, one hour late => That is a pity. I hope nobody was angry.
> no, just in time => Good, then all ended well.

[There was|I am stuck in] a traffic jam [this morning|again|].
The traffic was [terrible|awful|slow] today.
My car [broke down|won't start|needs a repair|has a flat tyre].
= How annoying! I hope you get where you want to go.
= Oh dear, cars can be a trouble. Can somebody help?
> yes, my <friend> => Good. A helpful <friend> is worth a lot.
> I took the bus => That is a good way out.

I [like|love] [trains|to travel by train|long train rides].
I am on the train [now|to <town>|].
I [ride|go by] bike to work [every day|].
= That is a nice way to travel. What do you see on the way?
= Good! It is better than a traffic jam.
> fields and cows => A calm view. Enjoy the ride!

I [like|love|enjoy] <hobby>.
My hobby is <hobby>.
I started <hobby> [last year|a month ago|as a child].
I spend [every weekend|my evenings] with <hobby>.
= <hobby> is a fine hobby. How did you begin?
= <hobby> sounds like fun. What do you like most about it?
= It is good to have a hobby like <hobby>. Do you do it alone?
> with friends => With friends it is even more fun.
> it calms me => That is a good reason for <hobby>.
> my <relative> showed me => How nice of your <relative>!

I [play|like playing|started playing] <sport> [every <day>|with friends|].
We [won|have won] [the|our] <sport> [match|game] [yesterday|on <day>|].
I am on the <sport> team.
= <sport> keeps you fit. Is your team good?
= <sport> is a great sport. Do you play often?
> twice a week => That is good training.
> the best => Ha, I like that spirit!
> not very => The main thing is that <sport> is fun.

We lost [the|our] <sport> [match|game] [yesterday|on <day>|again|].
My team [lost|played badly].
= That is a pity. Next time you may win.
= Losing is hard. Was it a close game?
> yes, very close => Then you can be proud anyway.
> no, five to zero => Ouch! But every team has such days.

I [play|am learning|practise] the <instrument> [every day|since last year|].
I am learning to play the <instrument>.
I [bought|got] a <instrument> [yesterday|last week|].
= The <instrument> is a beautiful instrument. Which song do you play?
= How nice! Playing the <instrument> takes patience, but it is worth it.
> easy songs => Easy songs are the right start.
> is it hard? => Every instrument is hard at first. With practice it gets easier.

I am learning <language>.
I [started|want] to learn <language>.
My <language> is [bad|getting better].
= Learning <language> is a good idea. How do you practise?
= Well done! A few words of <language> each day help a lot.
> with an app => That is a good start. Talking with people helps, too.
> do you speak it? => No, I only speak English. But I wish you good luck!

I am reading <book>.
I [finished|bought|started] <book> [yesterday|today|].
= <book> sounds interesting. Do you like it?
= Reading is a good way to spend time. What happens in it?
> yes, very much => Then enjoy the pages!
> it's a bit boring => You need not finish a book that bores you.

I [watched|saw] <film> [yesterday|last night|on <day>|].
We went to the cinema [yesterday|last night|] and saw <film>.
= <film>! Was it good?
= How nice. Would you watch it again?
> yes, great => Then it was a good evening.
> I fell asleep => Ha! Then the film was perhaps a bit long.
> no, boring => That is a pity. Maybe the next film is better.

I went [for a run|swimming|hiking|to the gym|cycling] [today|this morning|yesterday].
I [ran|walked] [five|ten|eight] kilometres [today|this morning].
I want to [get fit|exercise more|lose some weight].
= Good for you! Moving keeps body and mind fresh.
= Well done! Do you feel tired now?
> a bit => A shower and some rest will help.
> no, great => That is the best feeling.

I [painted|want to paint] [my|the] <room> <colour>.
[We|I] [are painting|will paint] the <room> [<week_time>|].
My <room> is <colour> now.
= A <colour> <room>! That must look nice.
= Fresh paint changes a whole <room>. Are you happy with it?
> yes, very => Good! Enjoy your <room>.
> not sure yet => Give it some days. One gets used to a new colour.

I [cleaned|tidied up|am cleaning] the <room> [today|all day|].
I [did|have to do|hate] <chore> [today|].
The <room> is a [complete |]mess.
= Tidying is work, but it feels good after it is done.
= Oh yes, there is always something to do at home. Put on some music for it.
> good idea => Music makes such work go faster.
> I am done now => Well done! Now you may rest.

I bought a [new|red|blue|] <bought> [today|yesterday|on <day>|].
I got a <bought> [as a present|from my <relative>].
My new <bought> [is here|came today|arrived].
= A new <bought>! Are you happy with it?
= How nice! What does the <bought> look like?
= Enjoy your <bought>! Did you need one?
> yes, very => Good! Then it was the right <bought>.
> not really => Ha! Sometimes one buys a thing just for joy.
> it was cheap => A good buy, then!

My <machine> [broke|is broken|does not work|died|makes strange noises] [today|again|].
The <machine> [stopped working|is leaking|will not turn on].
= Oh no, the <machine>! Is it very old?
= A broken <machine> is annoying. Can it be repaired?
= That is bad luck. Have you tried to turn the <machine> off and on again?
> ten years old => Ten years is a good age for a <machine>. Perhaps it is time for a new one.
> yes, no luck => Then somebody who knows such things should look at the <machine>.
> almost new => Then the shop may repair it for free. Look for the receipt.

I lost my <lost> [today|yesterday|on the bus|].
I can't find my <lost>.
My <lost> is [gone|missing|lost].
= Oh no, your <lost>! Where did you see it last?
= That is annoying. Perhaps the <lost> is in a bag or under the sofa.
= I am sorry about your <lost>. I hope you find it soon.
> on the bus => Then ask the bus company. Many lost things end up there.
> at home => Then it must be there. Look in one room after the other.
> I found it! => Hooray! I am glad that your <lost> is back.

I can't find my <owned>.
I [lost|forgot] my <owned> [again|today|].
= Your <owned>! Did you look in your pockets?
= That is annoying. Where did you have your <owned> last?
> in the kitchen => Then look there again, also behind things.
> I found them => Wonderful! It is good that you have your <owned> back.

I [found|have found] [ten euros|a coin|a ring|an old photo|a letter|a key] [on the street|in a book|in the attic|today].
= What a find! What will you do with it?
= How exciting! I wonder whose it was.
> keep it => I understand. But perhaps somebody is looking for it.
> give it back => That is honest of you.

[Somebody|Someone] stole my [bike|wallet|bag|phone] [yesterday|today|].
My [bike|bag|phone|wallet] was stolen [yesterday|last night|].
= I am sorry, that is really bad. Have you told the police?
= Oh no! That is a nasty thing to happen. I hope you get it back.
> yes, today => Good. I hope they find it.
> not yet => It is a good idea to do that soon.

I am [so|very|really|a bit|] tired [today|].
I [slept badly|did not sleep|only slept four hours|could not sleep] [last night|].
I need [a nap|more sleep|a break].
I can hardly keep my eyes open.
= You sound tired. I hope you can rest soon.
= Too little sleep is hard. Could you take a short nap?
= Oh dear. Go to bed early tonight if you can.
> I can't, I must work => Then take small breaks, and drink some water.
> good idea => Sleep well when the time comes!
> the neighbours were loud => Loud neighbours are annoying. Ear plugs can help.

I am [so|very|really|] bored.
There is nothing to do [here|today|].
[Sundays are|This day is|It is] so boring.
= Boredom can be dull. You could read, draw or take a walk.
= Shall I tell you a short story? Or you could call a friend.
= Let us talk, then. What do you like to do?
> I like <hobby> => Then why not do some <hobby> now?
> I don't know => Try something small: tidy a drawer, or draw a cat.
> it's too cold to go out => Then stay in and bake something, or read.

I am [so|very|really|] happy [today|].
I [feel|am feeling] [great|wonderful|good] [today|].
Today was [a great|a good|the best|a lovely] day.
I had [a great|a good|a wonderful] day [today|].
= I am glad to hear that! What made your day so good?
= How lovely! Days like that are worth a lot.
= That makes me glad. Tell me more, if you like.
> I met a friend => A good friend can make a whole day bright.
> everything went well => It is great when all goes well.
> nothing special => Sometimes it is just a good day. Enjoy it!

I am [so|very|really|a bit|] sad [today|].
I feel [lonely|down|empty|terrible|bad] [today|].
I had a [bad|terrible|horrible|sad] day.
Today was [awful|terrible|a bad day].
Everything went wrong today.
= I am sorry to hear that. Do you want to tell me what happened?
= That sounds hard. I hope tomorrow is a better day.
= Oh, I am sorry. Be kind to yourself tonight.
> I don't know why => Sometimes one is sad without a reason. A walk or a talk can help.
> nobody called me => That is not nice. Perhaps you can call somebody yourself.
> thanks for listening => You are welcome. I am glad that you told me.

I am [so|very|really|] angry [today|with my <relative>|].
I [hate|am sick of] [Mondays|this day|waiting|rules|everything].
[Everything|This|Everybody] [annoys me|gets on my nerves] [today|].
= That sounds annoying. What happened?
= I understand that you are angry. Take a deep breath, and tell me about it.
> somebody was rude => Rude people can spoil a day. It was not your fault.
> I don't want to say => That is all right. A short walk may help.

I am [afraid|scared|nervous|worried] [tonight|of the dark|of dogs|of flying|of tomorrow|].
I [worry|think] too much.
I am [stressed|so stressed] [today|].
= That is not a nice feeling. Breathe slowly, and take your time.
= I am sorry. Would it help to talk about it?
> yes, please => Then tell me what is on your mind.
> it helps a bit => Good. One small step after the other.

I am [ill|sick] [today|].
I have [a cold|a fever|the flu|a cough|a sore throat].
I [caught a cold|feel ill|am in bed with a fever].
= I am sorry that you are ill. Rest and drink plenty of tea.
= Get well soon! Is somebody looking after you?
= Oh dear. Stay warm and sleep a lot. If it gets worse, see a doctor.
> yes, my <relative> => That is good. Your <relative> will take care of you.
> no, I am alone => Then ask a friend to bring you what you need.
> thanks => You are welcome. Get well soon!

My <body> hurts [today|a lot|since <day>|].
I [hurt|bumped] my <body> [today|yesterday|].
= I am sorry about your <body>. I hope it gets better soon.
= Ouch! That must hurt. If it does not get better, see a doctor.
> since yesterday => I hope it is over soon. If not, a doctor can look at your <body>.
> a little better now => Good, I am glad.

I [feel|am] [better|much better|well again] [today|now|].
I am [healthy|out of hospital|back home] again.
= I am glad that you are better! Take it slowly.
= That is good news. What do you want to do first?
> go outside => Fresh air will be good for you.

I [won|have won] [a prize|a race|ten euros|the lottery|a competition|a medal].
I came [first|second] in [the race|the competition].
= Congratulations! That is wonderful. How did it feel?
= Well done! You can be proud.
> amazing => I can imagine! Enjoy it.
> I was surprised => Surprises like that are the best.

Today is my birthday.
It is my birthday [tomorrow|<week_time>|today].
I [turned|am turning] [thirty|eighteen|forty|twelve|sixty] [today|this week|].
= Happy birthday! I hope you have a wonderful day. Will there be cake?
= All the best for your birthday! How will you celebrate?
> with my family => How nice! Enjoy the day with your family.
> yes, a big one => A big cake! Enjoy every piece.
> I don't celebrate => That is fine, too. I hope it is a good day anyway.

[We|I] moved [into a new flat|to a new house|to <town>|to the country] [last week|yesterday|].
[We|I] [are moving|will move] [<week_time>|to <town>].
I am packing boxes [all day|].
= Moving is a lot of work. I hope you like your new home!
= A new home, how exciting! Is everything in its place?
> still many boxes => Take your time. One box a day is fine.
> yes, almost => Well done! Then you can soon relax.

My neighbour [is very loud|plays the <instrument> all day|brought me a cake|waters my plants|never says hello|drills on Sundays].
The [neighbours|people next door] [are having a party|are loud again|have a new baby].
= Neighbours can make a big difference. Do you get on well?
= Oh! What do you think about it?
> yes, we do => That is good. Nice neighbours are worth a lot.
> no, not at all => That is a pity. A friendly talk may help.

My <plant> [is dying|has no leaves|looks sad|is dry].
I [forgot to water|killed] my <plant>.
= Oh, your poor <plant>! Perhaps it needs more light or less water.
= Plants are not always easy. I hope your <plant> gets better.
> too much water, I think => Then let the <plant> dry for some days.
> what would you do? => I would give it a bright place and only a little water.

My <plant> [is growing well|has a new leaf|is in flower|is getting big].
I [planted|bought] a <plant> [today|yesterday|].
= How nice! A <plant> makes a home friendly.
= You must have green fingers. Where does your <plant> stand?
> by the window => Light from a window is good for a <plant>.
> in the garden => A garden is a good place for it.

I [grow|planted|picked] <vegetable> [in my garden|on my balcony|today|].
[We|I] have [so many|our own] <vegetable> [in the garden|this year].
= Your own <vegetable>! They taste best fresh from the garden.
= How nice! What will you cook with the <vegetable>?
> a soup => A soup with fresh <vegetable> is very good.
> a salad => A fresh salad is a good choice.

I worked in the garden [all day|today|this morning].
I [cut the grass|raked the leaves|watered the flowers|sat on the balcony] [today|this morning|].
= Time outside is good for you. Are you tired now?
= A garden or a balcony is a lovely thing. Was it warm?
> yes, but happy => That is the best kind of tired.
> very warm => Then I hope you had a cold drink.

I [want|would like] to [learn to cook|write a book|learn to swim|see the world|plant a tree|be a <job_title>|have a garden].
My dream is to [live by the sea|open a café|be a <job_title>|write a song].
= That is a good dream. What could be the first small step?
= How nice! I hope you will do it.
> I don't know => Start very small: ten minutes today.
> save money => A good plan. Little by little it grows.

I have no plans [for today|for the weekend|<week_time>].
I do not know what to do [today|<week_time>].
[Nothing|Not much] [is planned|is going on] [today|this weekend].
= A free day can be lovely. You could take a walk, read or cook something nice.
= Then you can do just what you like. What do you feel like?
> a walk => A walk is a good idea. Fresh air does good.
> sleeping => Then sleep well! That is a fine plan, too.

I am going to [the park|the market|the zoo|a concert|a party|the library|the museum] [<week_time>|tonight|].
[We|I] [went|have been] to the [zoo|market|museum|library|park] [today|yesterday|on <day>].
= That sounds like fun. What do you like about such places?
= Nice! I hope you have something good to tell about it.
> the animals => Animals are fun to watch.
> the music => Music is always nice.
> it's quiet there => Quiet places are good for the mind.

I think [cats are better than dogs|winter is too long|phones are bad for us|school starts too early|tea is better than coffee|people should be kinder|the world is too loud].
In my opinion [people work too much|life is good|money is not everything|books are better than films].
= I see what you mean. Why do you think so?
= Many people would agree with you. Others would not!
> just a feeling => That is all right. Feelings count, too.
> don't you? => I am only a program and have no opinion, but I like to hear yours.

[Everything|Food|Bread|My rent] is so expensive [now|these days|].
I have no money [left|this month|].
I spent too much money [today|on a <bought>|].
= Yes, money goes fast. A list of what you spend can help.
= That is a worry for many people. Can you save a little somewhere?
> not really => That is hard. I hope the next month is better.
> on coffee, maybe => Coffee at home is cheaper, and just as warm.

My internet is [slow|down|broken] [today|again|].
My phone battery [is dead|is always empty].
My computer is [so slow|full|making noise].
= That is annoying. Sometimes it helps to restart it.
= Oh, such things never work when you need them. I hope it gets better soon.
> I did that already => Then perhaps somebody who knows it should look at it.
> it works again! => Great! A restart often helps.

I [cut my finger|fell off my bike|fell on the stairs|burnt my hand] [today|yesterday|].
= Ouch! I hope it does not hurt too much.
= Oh no, poor you! Did somebody help you?
> yes, my <friend> => That was kind of your <friend>.
> it's not so bad => Good. I hope it heals quickly.

I had a [strange|bad|funny|nice] dream [last night|].
I dreamed [of a <wild>|that I could fly|about my <relative>|of falling].
= Dreams can be strange. What happened in it?
= How interesting! Do you often remember your dreams?
> I was flying => Flying in a dream must feel great.
> never => Then this one was special.

I [said something stupid|forgot an appointment|sent a message to the wrong person|broke a cup|spilled <drink> on my shirt] [today|].
I am so [clumsy|stupid].
I made a [big |]mistake [at work|today|].
= That can happen to everybody. Do not be too hard on yourself.
= Oh dear! I am sure that others will soon forget it.
> I hope so => Surely. Tomorrow it will feel much smaller.
> it was so embarrassing => I believe you. One day you may laugh about it.

I [helped|carried a bag for] [an old man|my neighbour|a stranger] today.
I gave [money|my seat|my old clothes] to [somebody who needed it|a stranger].
= That was kind of you. How did it feel?
= How good of you! The world needs more of that.
> it felt good => Yes, helping makes both sides glad.

I [can't|cannot] wait for [the weekend|summer|Christmas|the holidays|Friday].
Only [two|three|five] [days|weeks] until [Christmas|my holiday|my birthday|summer].
= It is nice to look forward to something. What will you do then?
= Soon it will be here! Time goes faster than one thinks.
> sleep and eat => Ha, those are fine plans.
> see my family => Time with the family is lovely.

I [just woke up|got up late|overslept].
I am still in bed.
I had [breakfast|porridge|toast|two eggs] just now.
= Good morning, then! I hope your day starts well.
= A slow start can be nice. What are your plans for today?
> work => Then I wish you an easy day at work.
> nothing much => A quiet day, then. Enjoy it!

I am [at work|on the bus|in the kitchen|in the garden|at home|in a café].
I am [just |]sitting [here|on the sofa] [and waiting|doing nothing|with a cup of tea].
= I see! And how is it there?
= Nice that you write to me from there. How is your day?
> quiet => Quiet can be good. Enjoy it.
> loud => Too much noise is tiring. I hope it gets calmer.
> good so far => I am glad. I hope it stays that way.

I have been [reading|gardening|thinking|baking|writing letters] all [day|morning|evening].
I [knitted|sewed|built|drew|repaired] [something|a small thing] [today|yesterday|].
I am trying out [a new recipe|a new game|something new].
My <hobby> [takes|needs] a lot of time.
= That is a nice way to spend time. Are you happy with how it goes?
= Well done! It is good to make or do something with your own hands and head.
> yes, quite => Good! Then go on like that.
> not yet => It takes some time. You will get there.

I live [alone|with my <relative>|in a small village|near the station|on the fifth floor|in a noisy street].
My [flat|house|room] is [small|cold|dark|very nice|cosy|near the river].
We have a [big|small] garden.
= I see. Do you like living there?
= A home tells a lot about a person. What do you like best about yours?
> yes, it's quiet => A quiet home is worth a lot.
> the view => A good view makes every morning better.
> not so much => I am sorry. Perhaps a small change makes it nicer.

I got a [letter|postcard|parcel|present|call|message] [from my <relative>|from <name>|today|].
My <relative> [called|wrote to|sent a parcel to] me [today|yesterday|].
<name> [called|wrote to|wants to see] me.
= How nice! Was it good news?
= It is always nice to hear from people. What was it about?
> yes, very good => I am glad to hear that.
> just a hello => A simple hello can make a whole day better.

I [forgot|have forgotten] my <relative>'s birthday.
I am late [again|for work|for school].
I [broke|lost] something that belongs to my <friend>.
= Oh no! Say sorry, and it will be all right.
= That is not so nice, but it can happen. What will you do now?
> buy flowers => Flowers are a kind way to say sorry.
> I don't know => A few honest words are a good start.
"""

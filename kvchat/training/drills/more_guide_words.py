"""More everyday tasks: their steps, what they need, how long they take."""


def _guides(text: str) -> dict[str, tuple[str, ...]]:
    """Split lines of a task, a colon and its steps between bars."""
    pairs = (line.strip().split(": ", 1) for line in text.strip().splitlines())
    return {task: tuple(step.strip() for step in steps.split("|")) for task, steps in pairs}


MORE_GUIDES = _guides("""
    make hot chocolate: Warm some milk in a pot. | Stir in cocoa and sugar. | Pour it into a cup.
    make lemonade: Press the juice out of two lemons. | Add cold water and some sugar. | Stir it well. | Add ice.
    make toast: Put a slice of bread in the toaster. | Press the lever down. | Wait until it pops up. | Spread butter on it.
    make porridge: Put oats and milk in a pot. | Heat it slowly and stir. | Cook it for five minutes. | Add fruit or honey.
    fry an egg: Heat a little oil in a pan. | Break the egg into it. | Wait until the white is firm. | Add salt and serve it.
    make scrambled eggs: Beat the eggs with a little milk and salt. | Melt butter in a pan. | Pour in the eggs and stir slowly. | Stop when they are soft and set.
    make an omelette: Beat three eggs with salt. | Heat butter in a pan. | Pour in the eggs and let them set. | Fold it in half.
    boil potatoes: Wash and peel the potatoes. | Put them in salted water. | Boil them for twenty minutes. | Pour the water away.
    mash potatoes: Boil the potatoes until they are soft. | Pour the water away. | Crush them with butter and milk. | Add salt.
    make vegetable soup: Cut the vegetables into small pieces. | Fry them gently in a pot. | Add water and salt. | Cook it for twenty minutes.
    make tomato sauce: Fry an onion in oil. | Add chopped tomatoes and salt. | Cook it for fifteen minutes. | Stir in some herbs.
    make a fruit salad: Wash the fruit. | Cut it into small pieces. | Mix it in a bowl. | Add a little lemon juice.
    bake a cake: Heat the oven. | Mix butter, sugar, eggs and flour. | Pour the dough into a tin. | Bake it for forty minutes. | Let it cool.
    bake cookies: Mix butter, sugar, flour and an egg. | Form small balls. | Put them on a tray. | Bake them for twelve minutes.
    bake a pizza: Roll out the dough. | Spread tomato sauce on it. | Add cheese and what you like. | Bake it in a very hot oven.
    peel an orange: Cut a small piece off the top. | Push your thumb under the peel. | Pull the peel off. | Part the slices.
    cut an onion: Cut the onion in half and peel it. | Lay the flat side down. | Cut it lengthwise. | Cut it across into cubes.
    keep bread fresh: Let the bread cool. | Put it in a bread box or a bag. | Keep it in a dry place.
    freeze fruit: Wash and dry the fruit. | Lay it on a tray in the freezer. | Put it into a bag when it is hard.
    set the table: Put a plate at each place. | Lay the fork on the left and the knife on the right. | Put a glass above the knife. | Add a napkin.
    clean the oven: Let the oven cool. | Spread a paste of baking soda and water inside. | Wait a few hours. | Wipe it clean.
    clean the fridge: Take everything out. | Wipe the shelves with warm soapy water. | Dry them. | Put the food back and throw away what is old.
    clean the bathroom: Open the window. | Scrub the sink and the bath. | Clean the toilet with a brush. | Wipe the mirror. | Mop the floor.
    clean the floor: Sweep up the dust. | Fill a bucket with warm water and soap. | Mop the floor from the far corner to the door. | Let it dry.
    vacuum a carpet: Pick up small things. | Plug in the vacuum cleaner. | Go slowly back and forth. | Empty the bag when it is full.
    dust a shelf: Take the things off. | Wipe the shelf with a damp cloth. | Dry it. | Put the things back.
    make the bed: Pull the sheet smooth. | Shake the pillow. | Lay the blanket flat over it.
    fold a shirt: Lay the shirt face down. | Fold the sides and sleeves to the middle. | Fold the bottom up to the collar. | Turn it over.
    get a stain out of a shirt: Dab the stain with cold water. | Rub in a little soap. | Wait ten minutes. | Wash the shirt.
    take out the rubbish: Tie the bag. | Carry it to the bin. | Put a new bag in.
    sort rubbish: Keep paper, glass and plastic apart. | Rinse jars and cans. | Put each kind in its own bin.
    unblock a sink: Take out what you can reach. | Pour in baking soda and vinegar. | Wait ten minutes. | Rinse it with hot water.
    sew on a button: Thread the needle and make a knot. | Put the needle through the cloth and the button. | Do it several times. | Make a knot at the back.
    mend a hole in a sock: Put a ball inside the sock. | Sew lines across the hole. | Weave lines the other way. | Cut the thread.
    fix a flat bicycle tire: Take the wheel off. | Pull the tube out and find the hole. | Glue a patch on it. | Put the tube back and pump it up.
    pump up a tire: Take the cap off the valve. | Put the pump on it. | Pump until the tire is firm. | Put the cap back.
    oil a bicycle chain: Wipe the chain with a cloth. | Put a drop of oil on each link. | Turn the pedals. | Wipe off the rest.
    drive a nail into wood: Mark the place. | Hold the nail straight. | Tap it gently until it stands. | Take your fingers away and hit it harder.
    saw a board: Mark a line. | Hold the board firmly. | Start with short strokes. | Go on with long, calm strokes.
    glue a broken cup: Clean the broken edges. | Put a little glue on one side. | Press the parts together. | Let the glue dry for a day.
    change a battery: Open the cover. | Take the old battery out. | Put the new one in the right way round. | Close the cover.
    stop a door from squeaking: Put a little oil on the hinges. | Open and close the door a few times. | Wipe off the rest of the oil.
    sow a lawn: Loosen the soil. | Rake it flat. | Spread the seeds. | Keep it wet for two weeks.
    mow the lawn: Pick up stones and sticks. | Start the mower. | Go up and down in straight lines. | Empty the box.
    plant flowers: Dig a small hole. | Set the flower in it. | Fill in the soil and press it. | Water it.
    grow herbs in a pot: Fill a pot with soil. | Sow the seeds thinly. | Keep the soil damp. | Cut the herbs when they are big.
    prune a rose: Use sharp garden scissors. | Cut out dead wood. | Cut above a bud that points outwards. | Clear away what you cut.
    make compost: Choose a shady corner. | Pile up leaves and peels. | Turn the pile now and then. | Wait until it is dark and crumbly.
    pull out weeds: Wait until the soil is wet. | Take the weed near the ground. | Pull out the whole root. | Throw it on the compost.
    pick apples: Choose ripe apples. | Lift and turn each one gently. | Lay them in a basket. | Keep them in a cool place.
    build a bird house: Saw the boards. | Drill a round hole in the front. | Nail the parts together. | Hang it in a quiet place.
    feed the birds in winter: Buy seeds without salt. | Put them in a dry place high up. | Keep the place clean.
    clean a fish tank: Take out some of the water. | Wipe the glass. | Rinse the filter in tank water. | Fill in fresh water of the same warmth.
    brush a dog: Let the dog sniff the brush. | Brush along the hair. | Loosen knots with your fingers. | Praise the dog.
    wash a dog: Wet the dog with warm water. | Rub in dog shampoo. | Rinse it well. | Dry it with a towel.
    teach a dog to sit: Hold a treat above its nose. | Move it slowly back until the dog sits. | Say "sit" and give the treat. | Repeat it every day.
    clean a hamster cage: Put the hamster in a safe box. | Take out the old straw. | Wash the cage and dry it. | Put in fresh straw.
    care for a rabbit: Give it hay and fresh water every day. | Clean its cage often. | Let it run. | Take it to the vet once a year.
    turn on a computer: Check that it is plugged in. | Press the power button. | Wait for the screen. | Type your password.
    restart a computer: Save your work. | Close the programs. | Choose restart in the menu. | Wait until it is ready.
    save a file: Open the file menu. | Choose save. | Type a name. | Choose a folder and press save.
    copy and paste text: Mark the text with the mouse. | Press Ctrl and C. | Click where you want it. | Press Ctrl and V.
    print a page: Turn the printer on. | Open the page. | Choose print. | Check the number of copies and press print.
    make a strong password: Take four words that do not belong together. | Add a number and a sign. | Use it for one account only. | Tell it to nobody.
    back up my files: Plug in a second disk. | Copy your important files to it. | Check that they open. | Keep the disk in a safe place.
    take a screenshot: Open what you want to show. | Press the Print Screen key. | Paste the picture where you need it.
    connect to the Wi-Fi: Open the network settings. | Choose your network. | Type the password. | Press connect.
    clean a keyboard: Unplug it. | Turn it over and shake it gently. | Wipe the keys with a damp cloth. | Let it dry.
    clean a screen: Switch the screen off. | Wipe it with a soft dry cloth. | Use a little water for spots.
    make a folder: Click with the right button. | Choose new folder. | Type its name. | Press Enter.
    charge a phone: Plug the charger into the wall. | Put the cable into the phone. | Wait until it is full. | Unplug it.
    delete a file: Click on the file. | Press the Delete key. | Say yes if the computer asks.
    do my homework: Find a quiet place. | Look at what you have to do. | Start with the hardest task. | Check it at the end.
    write an essay: Choose your main idea. | Make a short plan. | Write a beginning, a middle and an end. | Read it again and correct it.
    write a poem: Choose a thing or a feeling. | Write down words that fit. | Make short lines of them. | Read it aloud.
    write a story: Think of a person. | Give the person a problem. | Say how it is solved. | Find a good title.
    write a summary: Read the text twice. | Mark the main points. | Write them in your own words. | Leave out small things.
    write a thank-you note: Say what you got. | Say why you like it. | Thank the person. | Sign it.
    write an invitation: Say what you are celebrating. | Write the day and the time. | Write the place. | Ask for an answer.
    write a shopping list: Look into the fridge. | Think about the meals of the week. | Write down what is missing. | Put things of one shop together.
    read faster: Choose a quiet place. | Follow the line with a finger. | Do not go back. | Practise every day.
    learn a poem by heart: Read it aloud several times. | Learn two lines at a time. | Say them without looking. | Repeat it the next day.
    give a talk at school: Choose three main points. | Write them on a card. | Practise in front of a mirror. | Speak slowly and look at the class.
    take notes: Write the date. | Write short words, not sentences. | Mark what matters. | Read your notes again in the evening.
    use a dictionary: Look at the first letter of the word. | Find the page by the alphabet. | Read the meaning. | Read an example.
    add fractions: Bring them to the same bottom number. | Add the top numbers. | Make the result as simple as you can.
    draw a cat: Draw a circle for the head. | Add two pointed ears. | Draw eyes, a nose and whiskers. | Add the body and a tail.
    draw a house: Draw a square. | Put a triangle on top. | Add a door and two windows. | Colour it.
    draw a tree: Draw two lines for the trunk. | Add some branches. | Draw a round cloud of leaves. | Colour it green and brown.
    draw a star: Draw a line up and down again, like a tent. | Go up to the left. | Go straight to the right. | Go back to the start.
    mix the colour green: Take some yellow paint. | Add a little blue. | Stir it and add more until you like it.
    make a paper boat: Fold a sheet in half. | Fold the two corners to the middle. | Fold the edges up. | Pull the sides apart.
    make a birthday card: Fold a sheet of thick paper. | Draw a picture on the front. | Write your wishes inside. | Sign it.
    make a mask: Cut a face out of thick paper. | Cut holes for the eyes. | Paint it. | Fix a string to both sides.
    build a kite: Tie two sticks into a cross. | Run a string around the ends. | Glue paper over it. | Add a tail and a long string.
    fly a kite: Choose a windy open place. | Stand with your back to the wind. | Let the kite rise. | Give it more string slowly.
    build a sandcastle: Find wet sand. | Fill a bucket and press it. | Turn the bucket over. | Dig a ditch around it.
    build a snowman: Roll a big ball of snow. | Roll two smaller ones. | Put them on top of each other. | Add a carrot and a hat.
    knit a scarf: Choose wool and needles. | Cast on thirty stitches. | Knit row after row. | Cast off when it is long enough.
    make a candle: Melt wax in a pot of hot water. | Fix a wick in a jar. | Pour in the wax. | Let it cool.
    carve a pumpkin: Cut off the top. | Scoop out the inside. | Draw a face. | Cut it out and put in a candle.
    dye eggs: Boil the eggs hard. | Mix colour with warm water and vinegar. | Lay the eggs in it. | Let them dry.
    decorate a room: Choose a colour. | Hang up balloons and paper chains. | Put flowers on the table. | Light some candles.
    plan a party: Choose a day. | Invite your guests. | Plan food and drinks. | Think of music and games.
    plan a trip: Choose a place. | Look how to get there. | Book a room. | Make a list of what to pack.
    plan a day: Write down what you must do. | Put the most important thing first. | Give each thing a time. | Leave room for breaks.
    pack for a hike: Take water and food. | Pack a map and a rain jacket. | Put on good shoes. | Tell somebody where you go.
    put up a tent: Find flat ground. | Lay the tent out. | Put the poles in and raise it. | Fix the ropes with pegs.
    light a campfire: Choose a place where fires are allowed. | Put stones around it. | Light small dry sticks first. | Add bigger wood. | Put it out with water.
    buy a train ticket: Go to the machine or the counter. | Say where you want to go. | Choose the train. | Pay and keep the ticket.
    find my way in a new city: Get a map. | Find out where you are. | Look for street names. | Ask somebody if you are lost.
    cross the street: Stop at the edge. | Look left and right. | Wait until no car comes. | Walk straight across.
    call a taxi: Look up the number. | Call and say where you are. | Say where you want to go. | Wait in front of the door.
    book a hotel room: Choose the place and the days. | Compare prices. | Give your name. | Keep the letter that confirms it.
    keep calm before a flight: Be early at the airport. | Breathe slowly. | Read or listen to music. | Drink water.
    start a conversation: Smile and say hello. | Ask a simple question. | Listen to the answer. | Tell something about yourself.
    say sorry: Look at the person. | Say what you did wrong. | Say that you are sorry. | Try to make it good again.
    comfort a friend: Listen without hurry. | Say that you are there. | Ask what would help. | Call again the next day.
    settle a quarrel: Wait until both are calm. | Let each one speak. | Say what you feel. | Look for a way that is good for both.
    say no politely: Thank the person for asking. | Say no clearly. | Give a short reason. | Offer something else if you can.
    ask for help: Think what you need. | Choose the right person. | Ask clearly and politely. | Say thank you.
    introduce myself: Smile. | Say hello and your name. | Say where you come from. | Ask for the name of the other.
    welcome a guest: Open the door with a smile. | Take the coat. | Offer a seat and something to drink.
    choose a present: Think what the person likes. | Decide how much to spend. | Look for something useful or nice. | Wrap it well.
    make a phone call: Dial the number. | Say hello and your name. | Say why you call. | Say goodbye.
    prepare for a job interview: Read about the company. | Think of answers to common questions. | Choose clean clothes. | Be there ten minutes early.
    listen well: Look at the person. | Do not interrupt. | Ask if something is not clear. | Say back what you heard.
    get more exercise: Choose something you like. | Start with ten minutes a day. | Do it with a friend. | Do a little more each week.
    do a push-up: Lie on your front with your hands under your shoulders. | Keep your back straight. | Push yourself up. | Go down slowly.
    warm up before sport: Walk or run slowly for five minutes. | Swing your arms. | Stretch your legs. | Start gently.
    ride a bicycle: Sit on the saddle with one foot on the ground. | Push off and pedal. | Look ahead. | Brake gently.
    throw a ball: Hold the ball with your fingers. | Take your arm back. | Step forward. | Throw and follow with your arm.
    juggle: Begin with one ball. | Throw it from hand to hand. | Add a second one when the first is at the top. | Then add a third.
    skip rope: Hold one end in each hand. | Swing the rope over your head. | Jump when it comes to your feet.
    stand up straight: Put your feet apart. | Pull your shoulders back. | Lift your chin. | Breathe out.
    skate: Put on skates and a helmet. | Bend your knees a little. | Push off with one foot. | Glide on the other.
    drink more water: Put a bottle on your desk. | Drink a glass with each meal. | Take water with you.
    eat healthier: Eat vegetables every day. | Choose fruit instead of candy. | Drink water. | Cook at home.
    protect my skin from the sun: Stay in the shade at noon. | Wear a hat. | Use sunscreen. | Put on more after a swim.
    clean a small cut: Wash your hands. | Rinse the cut with clean water. | Dry the skin around it. | Put a plaster on it.
    take a break: Stop your work. | Stand up and stretch. | Look out of the window. | Drink some water.
    rest my eyes: Look away from the screen. | Look at something far away. | Blink a few times. | Close your eyes for a minute.
    stop hiccups: Take a deep breath. | Hold it for ten seconds. | Breathe out slowly. | Drink a little water.
    blow up a balloon: Stretch the balloon. | Hold it to your lips. | Blow into it. | Tie a knot.
    whistle: Wet your lips. | Make a small round hole with them. | Blow gently. | Move your tongue to change the sound.
    tie a tie: Lay it around your neck with one end longer. | Cross the long end over the short one. | Bring it up through the loop. | Pull it down through the knot.
    polish shoes: Brush off the dirt. | Rub in some polish. | Wait five minutes. | Brush them until they shine.
    wash my hair: Wet your hair. | Rub in shampoo. | Rinse it well. | Dry it with a towel.
    cut my nails: Wash your hands. | Cut the nails with small cuts. | Smooth the edges with a file.
    iron trousers: Read the label. | Lay one leg flat. | Iron it from top to bottom. | Do the same with the other leg.
    pack a lunch: Make a sandwich. | Wash some fruit. | Fill a bottle with water. | Put everything in a box.
    tell the time: Look at the short hand for the hour. | Look at the long hand for the minutes. | Count five minutes for each number.
    measure a room: Take a tape measure. | Measure the long side. | Measure the short side. | Write both numbers down.
    keep a diary: Choose a notebook. | Write the date. | Write what happened and how you felt. | Do it every evening.
    play hide and seek: Choose who has to seek. | The others hide while the seeker counts. | The seeker looks for them. | The last one found wins.
    play the piano: Sit up straight. | Learn where the notes are. | Practise with one hand first. | Then play slowly with both.
    learn to dance: Listen to the beat. | Learn the basic step. | Practise it slowly. | Dance with a partner.
""")  # fmt: skip
"""Tasks with their steps, in the words in which a person would name them."""


def _needs(text: str) -> dict[str, str]:
    pairs = (line.strip().split(": ", 1) for line in text.strip().splitlines())
    return {task: things.strip() for task, things in pairs}


NEEDS = _needs("""
    make tea: a cup, a tea bag and hot water
    make coffee: ground coffee, a filter and hot water
    boil an egg: an egg, a pot and water
    make a sandwich: two slices of bread, butter and cheese
    cook rice: rice, water, salt and a pot
    cook pasta: pasta, water, salt and a big pot
    make pancakes: flour, milk, eggs, salt and butter
    make a salad: lettuce, vegetables, oil and vinegar
    bake bread: flour, water, yeast and salt
    wash my hands: water, soap and a towel
    brush my teeth: a toothbrush and toothpaste
    plant a seed: a pot, soil, a seed and water
    plant a tree: a young tree, a shovel and water
    wash the dishes: hot water, soap and a sponge
    wash clothes: a washing machine and washing powder
    iron a shirt: an iron and an ironing board
    clean a window: warm water, soap, a wiper and a cloth
    wrap a gift: paper, tape and a ribbon
    make a paper plane: a sheet of paper
    change a light bulb: a new light bulb
    change a tire: a jack, a wrench and a spare wheel
    paint a wall: paint, a brush, a roller and tape
    hang a picture: a nail, a hammer and a pencil
    make hot chocolate: milk, cocoa, sugar and a pot
    make lemonade: two lemons, water, sugar and ice
    make toast: bread, a toaster and butter
    make porridge: oats, milk and a pot
    fry an egg: an egg, oil and a pan
    make scrambled eggs: eggs, milk, salt and butter
    make an omelette: three eggs, salt and butter
    boil potatoes: potatoes, water, salt and a pot
    mash potatoes: potatoes, butter, milk and salt
    make vegetable soup: vegetables, water, salt and a pot
    make tomato sauce: tomatoes, an onion, oil and herbs
    make a fruit salad: fruit, a knife, a bowl and lemon juice
    bake a cake: butter, sugar, eggs, flour and a tin
    bake cookies: butter, sugar, flour and an egg
    bake a pizza: dough, tomato sauce and cheese
    clean the oven: baking soda, water and a cloth
    clean the floor: a broom, a bucket, soap and a mop
    sew on a button: a needle, thread and a button
    fix a flat bicycle tire: a patch, glue and a pump
    pump up a tire: a pump
    oil a bicycle chain: oil and a cloth
    drive a nail into wood: a nail, a hammer and a piece of wood
    saw a board: a board, a saw and a pencil
    glue a broken cup: glue and the parts of the cup
    plant flowers: flowers, a small shovel and water
    grow herbs in a pot: a pot, soil and seeds
    build a bird house: boards, a saw, a drill, nails and a hammer
    wash a dog: warm water, dog shampoo and a towel
    draw a cat: paper and a pencil
    draw a house: paper, a pencil and colours
    make a paper boat: a sheet of paper
    make a birthday card: thick paper, a pen and colours
    build a kite: two sticks, paper, string and glue
    build a sandcastle: wet sand, a bucket and a shovel
    build a snowman: snow, a carrot and a hat
    knit a scarf: wool and two needles
    make a candle: wax, a wick and a jar
    carve a pumpkin: a pumpkin, a knife, a spoon and a candle
    put up a tent: a tent with poles, ropes and pegs
    clean a small cut: clean water and a plaster
    polish shoes: a brush and shoe polish
    take a screenshot: only your keyboard
    measure a room: a tape measure, paper and a pencil
    keep a diary: a notebook and a pen
    blow up a balloon: only a balloon
    pack a lunch: bread, fruit, a bottle and a box
""")  # fmt: skip
"""What some of the tasks need."""

TIMES = _needs("""
    make tea: about five minutes
    make coffee: about five minutes
    boil an egg: about ten minutes
    make a sandwich: about five minutes
    cook rice: about twenty minutes
    cook pasta: about fifteen minutes
    make pancakes: about half an hour
    make a salad: about fifteen minutes
    bake bread: about two hours, because the dough has to rise
    wash my hands: less than a minute
    brush my teeth: about two minutes
    plant a seed: about five minutes
    plant a tree: about an hour
    wash the dishes: about twenty minutes
    iron a shirt: about ten minutes
    make a paper plane: a minute or two
    tie my shoes: a few seconds, when you know how
    change a light bulb: about five minutes
    change a tire: about half an hour
    paint a wall: a few hours
    hang a picture: about ten minutes
    make hot chocolate: about five minutes
    make lemonade: about ten minutes
    make toast: about three minutes
    make porridge: about ten minutes
    fry an egg: about five minutes
    boil potatoes: about half an hour
    make vegetable soup: about forty minutes
    bake a cake: a little more than an hour
    bake cookies: about half an hour
    clean the oven: a few hours, because the paste has to work
    sew on a button: about ten minutes
    fix a flat bicycle tire: about half an hour
    glue a broken cup: a few minutes, and a day to dry
    mow the lawn: about an hour
    build a snowman: about half an hour
    knit a scarf: some weeks, if you knit every evening
    carve a pumpkin: about an hour
    put up a tent: about twenty minutes
    pack a lunch: about ten minutes
    blow up a balloon: about a minute
    make the bed: two or three minutes
    polish shoes: about ten minutes
""")  # fmt: skip
"""How long some of the tasks take."""

SUBSTITUTES: dict[str, tuple[str, str]] = {
    "make tea": ("tea bag", "Then use loose tea in a small sieve."),
    "make coffee": ("filter", "Then put the coffee straight into the cup, and wait until it sinks."),
    "make pancakes": ("milk", "Then take water, or oat milk."),
    "make a salad": ("vinegar", "Then take lemon juice."),
    "make a sandwich": ("butter", "Then take cream cheese, or leave it out."),
    "bake bread": ("yeast", "Then take baking powder, and bake it without waiting."),
    "wrap a gift": ("ribbon", "Then take a string."),
    "hang a picture": ("hammer", "Then use a sticky hook that needs no nail."),
    "make hot chocolate": ("cocoa", "Then melt some chocolate in the milk."),
    "make lemonade": ("sugar", "Then take honey."),
    "make toast": ("toaster", "Then toast the bread in a pan."),
    "make porridge": ("milk", "Then take water, or oat milk."),
    "fry an egg": ("oil", "Then take butter."),
    "mash potatoes": ("butter", "Then take a little oil."),
    "bake a cake": ("butter", "Then take oil."),
    "bake cookies": ("sugar", "Then take honey."),
    "clean the floor": ("mop", "Then use a wet cloth."),
    "clean a window": ("wiper", "Then use old newspaper or a dry cloth."),
    "build a snowman": ("carrot", "Then take a stick for the nose."),
    "pack a lunch": ("box", "Then use a clean bag."),
    "draw a house": ("pencil", "Then take a pen."),
    "measure a room": ("tape measure", "Then count your steps; a long one is about a metre."),
}  # fmt: skip
"""A thing of a task that somebody may lack, and what to do then."""

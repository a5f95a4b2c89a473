"""Short programs, and how they are asked for."""

PROGRAMS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("Write a Python program that prints <word>.", "How do I print <word> in Python?", "Show me how to print the word <word> in Python."), "python", 'print("<word>")', "It prints <word>."),
    (("Write a hello world program in Python.", "Show me hello world in Python.", "python hello world"), "python", 'print("Hello, world!")', "Run it with `python hello.py`."),
    (("Write a Python loop that counts to <n>.", "How do I count from 1 to <n> in Python?", "Show me a for loop to <n> in Python."), "python", "for number in range(1, <n> + 1):\n    print(number)", "It prints the numbers from 1 to <n>."),
    (("Write a Python function that adds two numbers.", "How do I add two numbers in Python?", "python function to add numbers"), "python", "def add(a, b):\n    return a + b", "Call it as `add(2, 3)`."),
    (("Write a function that doubles a number in Python.", "Python function that multiplies a number by 2"), "python", "def double(n):\n    return 2 * n", ""),
    (("How do I make a list in Python?", "Show me a list in Python.", "Write a Python list with <thing> in it."), "python", 'things = ["<thing>", "water"]\nprint(things[0])', "The first item has the number 0."),
    (("How do I write an if in Python?", "Show me an if statement in Python."), "python", 'n = <n>\nif n > 5:\n    print("large")\nelse:\n    print("small")', ""),
    (("How do I turn a word around in Python?", "Reverse the word <word> in Python."), "python", 'print("<word>"[::-1])', ""),
    (("How do I find the length of a word in Python?", "Get the length of <word> in Python."), "python", 'print(len("<word>"))', ""),
    (("How do I read a file in Python?", "Python code to read a text file"), "python", 'with open("file.txt") as file:\n    print(file.read())', ""),
    (("How do I ask for a name in Python?", "Write a Python program that asks for my name."), "python", 'name = input("What is your name? ")\nprint("Hello", name)', ""),
    (("How do I list files in the terminal?", "Which command lists files?", "shell command to list files"), "sh", "ls -l", "It shows the files of this folder."),
    (("How do I make a folder in the terminal?", "shell command to create a folder called <word>"), "sh", "mkdir <word>", ""),
    (("How do I delete a file in the terminal?", "Which command deletes a file?"), "sh", "rm file.txt", "Be careful: it cannot be undone."),
    (("How do I copy a file in the terminal?", "shell command to copy a file"), "sh", "cp old.txt new.txt", ""),
    (("Write a small HTML page.", "Show me some HTML.", "Write an HTML heading that says <word>."), "html", "<h1><word></h1>\n<p>This is a page.</p>", ""),
    (("Write hello world in JavaScript.", "How do I print in JavaScript?"), "js", 'console.log("Hello, world!");', ""),
    (("Write hello world in C.", "Show me a C program."), "c", '#include <stdio.h>\n\nint main(void) {\n    printf("Hello, world!\\n");\n    return 0;\n}', ""),
    (("Write an SQL query for all rows.", "Show me a simple SQL query.", "SQL query to select everything from <word>"), "sql", "SELECT * FROM <word>;", ""),
    (("Show me some JSON.", "Write a small JSON example."), "json", '{"name": "<word>", "count": <n>}', ""),
    (("How do I start kvchat with a bigger model?", "Which command loads another model in kvchat?", "What do I type to use a larger model?"), "sh", "kvchat --model NAME", "NAME is a folder with a model, or a name that `kvchat models` lists."),
    (("Write some code.", "Can you write code?", "Show me a short program."), "python", 'for word in ["one", "two", "three"]:\n    print(word)', "I only know very small programs."),
)  # fmt: skip
"""Questions, language, code and a remark; <n>, <word> and <thing> are filled in."""

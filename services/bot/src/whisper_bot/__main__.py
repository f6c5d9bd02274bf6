from whisper_bot.process import main

main()

from whisper_dispatcher.planner.process import main

main()

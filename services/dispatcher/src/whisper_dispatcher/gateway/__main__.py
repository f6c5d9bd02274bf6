from whisper_dispatcher.gateway.process import main

main()

package org.pocketfleet.desktop;

import java.util.Arrays;
import java.util.List;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;

/** The program: {@code pocketfleet-client COMMAND ...}. */
public final class Main {
  private static final int FAILED = 1;
  private static final int WRONG_USAGE = 2;
  private static final String HELP =
      "usage: pocketfleet-client COMMAND [options]\n\n"
          + "Train a bundle on this device's data for a Flower server.\n\n"
          + "commands:\n"
          + "  run    take part until told to leave\n"
          + "  key    print this device's public key\n"
          + "  fit    train a bundle on local data, without a server\n\n"
          + "pocketfleet-client COMMAND --help says more.\n\n"
          + "examples:\n"
          + RunCommand.EXAMPLES
          + "\n\n  # the key to enrol at a server that admits only known devices\n"
          + "  pocketfleet-client key --state ~/.pocketfleet > board-3.pem\n";

  private Main() {}

  /**
   * Runs the command line. Ends with 0 after leaving cleanly, 1 when something failed, 2 when it
   * was used wrongly.
   */
  public static void main(String[] arguments) {
    int code = run(Arrays.asList(arguments));
    System.out.flush();
    System.exit(code);
  }

  static int run(List<String> arguments) {
    String command = arguments.isEmpty() ? "" : arguments.get(0);
    List<String> rest = arguments.subList(Math.min(1, arguments.size()), arguments.size());
    try {
      switch (command) {
        case "run":
          return RunCommand.run(rest);
        case "key":
          return KeyCommand.run(rest);
        case "fit":
          return FitCommand.run(rest);
        case "-h":
        case "--help":
          System.out.print(HELP);
          return 0;
        default:
          throw new Options.UsageException(
              (command.isEmpty() ? "no command" : "unknown command " + command)
                  + "; see pocketfleet-client --help");
      }
    } catch (Options.UsageException | SettingsException error) {
      return fail(error, WRONG_USAGE);
    } catch (PocketfleetException error) {
      return fail(error, FAILED);
    }
  }

  private static int fail(Exception error, int code) {
    System.err.println("pocketfleet-client: " + error.getMessage());
    return code;
  }
}

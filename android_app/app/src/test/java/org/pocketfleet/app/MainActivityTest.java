package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.AlertDialog;
import android.app.job.JobScheduler;
import android.content.ClipboardManager;
import android.content.Intent;
import android.net.Uri;
import android.os.Looper;
import android.view.View;
import android.widget.Button;
import android.widget.EditText;
import android.widget.Switch;
import android.widget.TextView;
import com.google.gson.JsonObject;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.KeyPairGenerator;
import java.util.Base64;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowAlertDialog;

@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class MainActivityTest {
  private static final Uri INVITATION = Uri.parse("content://mail/invitation.json");

  @Rule public final Phone phone = new Phone();

  private MainActivity screen(Intent intent) {
    return Robolectric.buildActivity(MainActivity.class, intent).setup().get();
  }

  private MainActivity screen() {
    return screen(new Intent(Intent.ACTION_MAIN));
  }

  private static String text(MainActivity activity, int id) {
    return activity.<TextView>findViewById(id).getText().toString();
  }

  private static void click(MainActivity activity, int id) {
    assertTrue(activity.findViewById(id).performClick());
  }

  private void document(Uri uri, byte[] content) {
    shadowOf(phone.app.getContentResolver())
        .registerInputStream(uri, new ByteArrayInputStream(content));
  }

  private static String words(AlertDialog dialog) {
    return shadowOf(dialog).getMessage().toString();
  }

  private static String trust() throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(256);
    byte[] der = generator.generateKeyPair().getPublic().getEncoded();
    return "-----BEGIN PUBLIC KEY-----\n"
        + Base64.getEncoder().encodeToString(der)
        + "\n-----END PUBLIC KEY-----\n";
  }

  @Test
  public void saysWhatIsMissingAndStartsWhenNothingIs() {
    MainActivity activity = screen();
    assertEquals("Not set up yet", text(activity, R.id.headline));
    click(activity, R.id.start);
    assertTrue(words(ShadowAlertDialog.getLatestAlertDialog()).contains("invitation"));
    assertNull(shadowOf(phone.app).getNextStartedService());

    phone.configured();
    activity = screen();
    assertEquals("Off", text(activity, R.id.headline));
    activity.<EditText>findViewById(R.id.server).setText("nonsense");
    click(activity, R.id.start);
    assertTrue(words(ShadowAlertDialog.getLatestAlertDialog()).contains("expected host:port"));
    activity.<EditText>findViewById(R.id.server).setText(" 10.1.1.1:8000 ");
    activity.<EditText>findViewById(R.id.name).setText("shelf 3");
    click(activity, R.id.start);
    Intent started = shadowOf(phone.app).getNextStartedService();
    assertEquals(FleetService.START, started.getAction());
    Settings settings = SettingsStore.load(phone.app);
    assertEquals("10.1.1.1:8000", settings.server);
    assertEquals("shelf 3", settings.name);
  }

  @Test
  public void followsTheClient() {
    phone.configured();
    MainActivity activity = screen();
    StatusBoard board = Fleet.get().board();
    board.starting();
    phone.until("connecting", () -> text(activity, R.id.headline).equals("Connecting"));
    board.trouble("127.0.0.1:9: connection refused");
    phone.until("trouble", () -> text(activity, R.id.detail).contains("refused"));
    board.connected();
    phone.until("ready", () -> text(activity, R.id.headline).equals("Ready"));
    assertEquals("Stop", activity.<Button>findViewById(R.id.start).getText().toString());
    click(activity, R.id.start);
    assertEquals(FleetService.STOP, shadowOf(phone.app).getNextStartedService().getAction());
    board.failed("No more.");
    phone.until("problem", () -> text(activity, R.id.headline).equals("Stopped by a problem"));
    assertEquals("No more.", text(activity, R.id.detail));
  }

  @Test
  public void invitationIsTakenOnlyWhenThePersonAgrees() throws Exception {
    JsonObject invitation = new JsonObject();
    invitation.addProperty("server", "fleet.example:8000");
    invitation.addProperty("trust", trust());
    byte[] file = invitation.toString().getBytes(StandardCharsets.UTF_8);
    for (int button : new int[] {AlertDialog.BUTTON_NEGATIVE, AlertDialog.BUTTON_POSITIVE}) {
      document(INVITATION, file);
      screen(new Intent(Intent.ACTION_VIEW, INVITATION));
      AlertDialog dialog = ShadowAlertDialog.getLatestAlertDialog();
      assertTrue(words(dialog), words(dialog).contains("fleet.example:8000"));
      dialog.getButton(button).performClick();
      shadowOf(Looper.getMainLooper()).idle();
      boolean taken = button == AlertDialog.BUTTON_POSITIVE;
      assertEquals(taken ? "fleet.example:8000" : "", SettingsStore.load(phone.app).server);
      assertEquals(taken, !SettingsStore.load(phone.app).trust.isEmpty());
    }
  }

  @Test
  public void hostileInvitationChangesNothing() {
    phone.configured();
    document(INVITATION, "{\"server\": \"evil:1\"}".getBytes(StandardCharsets.UTF_8));
    MainActivity activity = screen();
    click(activity, R.id.open_invitation);
    Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
    assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.getAction());
    shadowOf(activity)
        .receiveResult(asked, MainActivity.RESULT_OK, new Intent().setData(INVITATION));
    AlertDialog dialog = ShadowAlertDialog.getLatestAlertDialog();
    assertTrue(words(dialog), words(dialog).contains("Invitation not accepted"));
    assertEquals("127.0.0.1:9", SettingsStore.load(phone.app).server);
  }

  @Test
  public void unencryptedHasToBeConfirmed() {
    phone.configured();
    try (ActivityController<MainActivity> controller =
        Robolectric.buildActivity(MainActivity.class).setup()) {
      MainActivity activity = controller.get();
      Switch insecure = activity.findViewById(R.id.insecure);
      insecure.performClick();
      assertFalse(insecure.isChecked());
      ShadowAlertDialog.getLatestAlertDialog()
          .getButton(AlertDialog.BUTTON_POSITIVE)
          .performClick();
      shadowOf(Looper.getMainLooper()).idle();
      assertTrue(insecure.isChecked());
      controller.pause().stop();
      assertTrue(SettingsStore.load(phone.app).insecure);
      controller.start().resume();
      assertTrue(text(activity, R.id.trust).startsWith("Not encrypted"));
    }
  }

  @Test
  public void dataIsCopiedIntoTheApp() throws Exception {
    MainActivity activity = screen();
    Uri uri = Uri.parse("content://files/shard.npz");
    document(uri, new byte[] {1, 2, 3});
    click(activity, R.id.choose_file);
    Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
    shadowOf(activity).receiveResult(asked, MainActivity.RESULT_OK, new Intent().setData(uri));
    phone.until("it is there", () -> !SettingsStore.load(phone.app).data.isEmpty());
    File data = new File(SettingsStore.load(phone.app).data);
    assertEquals(3, Files.size(data.toPath()));
    phone.until("it is shown", () -> text(activity, R.id.data).startsWith("File of"));
  }

  @Test
  public void keyIsShownAndCopied() {
    MainActivity activity = screen();
    phone.until("the key is there", () -> text(activity, R.id.fingerprint).length() > 0);
    assertTrue(text(activity, R.id.fingerprint).matches("sha256:[0-9a-f]{16}"));
    click(activity, R.id.copy_key);
    ClipboardManager clipboard = phone.app.getSystemService(ClipboardManager.class);
    String copied = clipboard.getPrimaryClip().getItemAt(0).getText().toString();
    assertTrue(copied, copied.startsWith("-----BEGIN PUBLIC KEY-----"));
    click(activity, R.id.share_key);
    Intent chooser = shadowOf(activity).getNextStartedActivity();
    assertEquals(Intent.ACTION_CHOOSER, chooser.getAction());
  }

  @Test
  public void switchesAreKeptAndScheduleTheJob() {
    phone.configured();
    MainActivity activity = screen();
    for (int id : new int[] {R.id.policy_background, R.id.policy_charging, R.id.policy_idle}) {
      click(activity, id);
    }
    Settings settings = SettingsStore.load(phone.app);
    assertTrue(settings.background && !settings.chargingOnly && settings.idleOnly);
    assertTrue(settings.unmeteredOnly);
    assertFalse(phone.app.getSystemService(JobScheduler.class).getAllPendingJobs().isEmpty());
  }

  @Test
  public void everythingThatCanBeTouchedHasWords() {
    MainActivity activity = screen();
    for (int id : new int[] {R.id.start, R.id.open_invitation, R.id.choose_file, R.id.copy_key}) {
      assertFalse(text(activity, id).isEmpty());
    }
    View progress = activity.findViewById(R.id.progress);
    assertEquals("Progress of this round", progress.getContentDescription().toString());
    assertEquals(
        View.ACCESSIBILITY_LIVE_REGION_POLITE,
        activity.findViewById(R.id.headline).getAccessibilityLiveRegion());
  }
}
